"""What must be there before a model is loaded, checked in seconds: each failure says what to do."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping

from cbdata.fill.job import FillJob
from cbdata.fill.models import LocalModel, ModelMissing, find_model
from cbdata.judge.judgement import check_argument_schemas
from cbdata.tools import ToolSchema, ToolSchemaError, load_tool_schema


class PreflightError(RuntimeError):
    """The job cannot run here: every problem found, each with its fix."""


def visible_gpus(environ: Mapping[str, str] = os.environ) -> int:
    """How many GPUs this process may use: the entries of CUDA_VISIBLE_DEVICES (numbers, UUIDs or
    MIG names), else what the driver counts.
    """
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        # CUDA stops at the first entry that is no device, and "-1" is the usual way to hide all.
        entries: list[str] = []
        for entry in (part.strip() for part in listed.split(",")):
            if not entry or entry == "-1":
                break
            entries.append(entry)
        return len(entries)
    import torch

    return torch.cuda.device_count()


def _backend_problem(job: FillJob) -> str | None:
    if not job.settings.use_vllm:
        missing = [
            name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None
        ]
        return (
            f"use_vllm is false and {' and '.join(missing)} cannot be imported. Fix: make setup"
            if missing
            else None
        )
    if importlib.util.find_spec("vllm") is None:
        return (
            "vllm cannot be imported. Fix: install it (environment.yml for GPUs, `make setup` for"
            " CPUs), or use_vllm=false"
        )
    from cbdata.fill.backends.vllm_backend import vllm_version

    installed, on_cpu = vllm_version()
    wanted = job.runtime.tensor_parallel
    if on_cpu:
        return None
    found = visible_gpus()
    if found < wanted:
        listed = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        return (
            f"tensor_parallel={wanted} needs {wanted} GPUs and this job sees {found}"
            f" (CUDA_VISIBLE_DEVICES {listed}, vllm {installed}). Fix: ask for them (the rule's gpu"
            " resource follows tensor_parallel), lower tensor_parallel, or use_vllm=false"
        )
    return None


def preflight(job: FillJob) -> tuple[LocalModel, ToolSchema]:
    """Check backend, GPUs, model, tool schema and skeletons of a job. Raises PreflightError with
    every problem at once.
    """
    problems = []
    if problem := _backend_problem(job):
        problems.append(problem)
    model = tools = None
    try:
        model = find_model(
            job.settings.model,
            job.settings.model_revision,
            job.runtime.cache_dir,
            job.runtime.offline,
        )
    except ModelMissing as error:
        problems.append(str(error))
    try:
        tools = load_tool_schema(job.tool_schema)
        check_argument_schemas(tools)
    except ToolSchemaError as error:
        problems.append(str(error))
    if not os.access(job.skeletons, os.R_OK):
        problems.append(
            f"skeletons {job.skeletons} cannot be read. Fix: run the load stage, or set"
            " skeleton_traces"
        )
    if (
        model is not None
        and job.settings.max_model_len is not None
        and job.settings.max_model_len > model.context
    ):
        problems.append(
            f"max_model_len={job.settings.max_model_len} is more than the model's own"
            f" {model.context}. Fix: lower it, or leave it out"
        )
    if problems or model is None or tools is None:
        raise PreflightError("this fill job cannot run here:\n  - " + "\n  - ".join(problems))
    return model, tools
