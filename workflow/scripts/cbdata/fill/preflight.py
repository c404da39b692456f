"""What must be there before a model is loaded, checked in seconds: each failure says what to do."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

from cbdata.call_formats.settle import UnsettledFormat
from cbdata.fill.backends.base import Backend
from cbdata.fill.call_reading import CallReading, load_renderer, settle_calls
from cbdata.fill.devices import DeviceKind, held_gpus, weight_type
from cbdata.fill.job import FillJob
from cbdata.fill.job_shape import shape_problems
from cbdata.fill.models import LocalModel, ModelMissing, find_model
from cbdata.judge.judgement import check_argument_schemas
from cbdata.render.renderer import Renderer
from cbdata.render.settings import TokenizerError
from cbdata.tools import ToolSchema, ToolSchemaError, load_tool_schema

logger = logging.getLogger(__name__)


class PreflightError(RuntimeError):
    """The job cannot run here: every problem found, each with its fix."""


@dataclass(frozen=True)
class FillInputs:
    """What a job works with besides its skeletons: the model's folder, the tool schema, how
    completions are read, and what the engine computes on.
    """

    model: LocalModel
    tools: ToolSchema
    calls: CallReading
    device: DeviceKind


def preflight(job: FillJob, backend: Backend) -> tuple[FillInputs, Renderer]:
    """Check backend, GPUs, model, tool schema, skeletons and chat template of a job, and settle in
    which format its model writes calls. Raises PreflightError with every problem at once.
    """
    problems = shape_problems(backend, job.runtime)
    problems += backend.option_problems(job.settings.engine, job.runtime)
    held = held_gpus(job.gpus)
    here = backend.look(job.runtime, held)
    logger.info("engine: %s; %s", here.description, _parallel(job, here.device))
    if here.problem:
        problems.append(here.problem)
    elif held is not None and here.device == "cpu" and backend.needs(job.runtime).gpus:
        logger.warning(
            "this job holds a GPU (%s) that it does not use: engine_device=%s",
            held,
            job.runtime.engine_device,
        )
    model = tools = None
    try:
        model = find_model(
            job.settings.model,
            job.settings.model_revision,
            job.runtime.cache_dir,
            job.runtime.offline,
            backend.loads_weights,
        )
    except ModelMissing as error:
        problems.append(str(error))
    try:
        tools = load_tool_schema(job.tool_schema)
        check_argument_schemas(tools)
    except ToolSchemaError as error:
        problems.append(str(error))
    problems += [
        (
            f"skeletons {part.skeletons} cannot be read. Fix: run the load stage, or set"
            " skeleton_traces"
        )
        for part in job.sets
        if not os.access(part.skeletons, os.R_OK)
    ]
    if (
        model is not None
        and job.settings.max_model_len is not None
        and job.settings.max_model_len > model.context
    ):
        problems.append(
            f"max_model_len={job.settings.max_model_len} is more than the model's own"
            f" {model.context}. Fix: lower it, or leave it out"
        )
    if model is not None and tools is not None:
        try:
            renderer = load_renderer(job.settings, model.path)
            calls = settle_calls(renderer, model.path, job.settings, tools)
        except (TokenizerError, ToolSchemaError, UnsettledFormat) as error:
            problems.append(str(error))
    if problems or model is None or tools is None:
        raise PreflightError("this fill job cannot run here:\n  - " + "\n  - ".join(problems))
    return FillInputs(model, tools, calls, here.device), renderer


def _parallel(job: FillJob, device: DeviceKind) -> str:
    parts = [f"tensor_parallel {job.runtime.tensor_parallel}"]
    if job.runtime.pipeline_parallel > 1:
        parts.append(f"pipeline_parallel {job.runtime.pipeline_parallel}")
    if job.runtime.nodes_per_engine > 1:
        parts.append(f"over {job.runtime.nodes_per_engine} nodes")
    dtype, asked = weight_type(job.settings.dtype, device), job.settings.dtype
    chosen = "the engine's choice" if dtype == "auto" else dtype
    return ", ".join([*parts, f"weights in {chosen} (dtype: {asked})"])
