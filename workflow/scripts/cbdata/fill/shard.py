"""One shard from its job to its files: locks, prompts, what is stored, what is generated, what is
published.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol

from cbdata.fill.backends.base import Backend, Engine, EngineNodes, EngineOptions
from cbdata.fill.call_reading import CompletionReader, TokenText, calls_grammar
from cbdata.fill.devices import weight_type
from cbdata.fill.job import FillJob
from cbdata.fill.judging import ShardJudge
from cbdata.fill.lock import ShardLock
from cbdata.fill.outcome_watch import describe_unread
from cbdata.fill.plan import ShardPlan, plan_shard
from cbdata.fill.preflight import FillInputs
from cbdata.fill.progress_store import ProgressStore
from cbdata.fill.requests import Sampling
from cbdata.fill.row_file import write_rows
from cbdata.fill.rows import run_row, shard_rows
from cbdata.fill.runner import Runner, StopFlag
from cbdata.fill.settings import WeightType
from cbdata.fill.skeleton_tools import SkeletonTools
from cbdata.fill.token_budget import TokenBudget
from cbdata.records import Mode
from cbdata.render.settings import Prompt

logger = logging.getLogger(__name__)

CONTEXT_STEP = 256
"""Tokens that the engine's context is a multiple of."""


LOCAL_FOLDER = "local folder"
"""What stands for the path of a model folder: its fingerprint says which model it is."""


class PromptRenderer(TokenText, Protocol):
    """The part of ``cbdata.render.Renderer`` that a fill job uses."""

    def prompt(self, messages: Any, tools: Any = None) -> Prompt:
        """Messages to the prompt that ETL_B will find at the start of the render."""
        ...


def run_shard(
    job: FillJob,
    inputs: FillInputs,
    renderer: PromptRenderer,
    backend: Backend,
    stop: StopFlag,
    nodes: EngineNodes | None = None,
) -> None:
    """Do one shard of every set, with one engine for all, and publish its rows; the locks, the
    progress files and the engine are closed when this returns or raises.

    Args:
        job: The shard and its settings.
        inputs: What ``preflight`` found: the model and the tool schema.
        renderer: Makes prompts of messages and text of token ids.
        backend: Opens the engine, which is not done if every completion is stored already.
        stop: Says whether the job was told to stop.
        nodes: The nodes of an engine over several.

    Raises:
        Stopped: The job was told to stop; what finished is kept.
        EngineDied: The engine is gone; what finished is kept.
    """
    settings, calls = job.settings, inputs.calls
    with ExitStack() as stack:
        for lock_file in job.lock_files:
            stack.enter_context(ShardLock(lock_file))
        logger.info(
            "completions are read as %s; a turn ends with %s",
            calls.settled.call_format,
            ", ".join(sorted(calls.settled.end_tokens)) or "no known token",
        )
        dtype = weight_type(settings.dtype, inputs.device)
        sampling = _sampling(job, inputs, dtype)
        budget = TokenBudget(settings.max_tokens, calls.thinking_tokens)
        logger.info("a completion may have %s tokens", budget)
        limit = settings.max_model_len or inputs.model.context
        plans = _plans(job, inputs, renderer, sampling, limit)
        longest = max(plan.longest_prompt for plan in plans)

        def open_engine() -> Engine:
            return backend.open(
                EngineOptions(
                    model=inputs.model.path,
                    runtime=job.runtime,
                    engine=settings.engine,
                    device=inputs.device,
                    dtype=dtype,
                    max_model_len=engine_context(longest + budget.longest, limit),
                    seed=settings.seed,
                    stop_token_ids=calls.stop_token_ids,
                    served_name=settings.endpoint_model or settings.model,
                    nodes=nodes,
                )
            )

        reader = CompletionReader(renderer, calls.settled, settings.accept_calls_in_prose)
        judge = ShardJudge(reader, inputs.tools, settings, [plan.skeletons for plan in plans])
        stores = [
            stack.enter_context(ProgressStore(part.progress_dir, job.label)) for part in job.sets
        ]
        runner = stack.enter_context(
            Runner(
                [item for plan in plans for item in plan.items],
                stores=stores,
                judge=judge,
                attempts=settings.attempts,
                open_engine=open_engine,
                decode=renderer.decode,
                stop=stop,
            )
        )
        done = runner.run()
        logger.info("outcomes: %s", dict(judge.watch.outcomes.most_common()))
        logger.info("of all completions %s", describe_unread(judge.watch.outcomes))
        for index, (part, plan) in enumerate(zip(job.sets, plans, strict=True)):
            own = [each for each in done if each.item.set_index == index]
            work = runner.throughput[index]
            write_rows(part.output, shard_rows(job, inputs, plan, own), run_row(job, work))
            logger.info("published %s: %s", part.output, asdict(work))


def _sampling(job: FillJob, inputs: FillInputs, dtype: WeightType) -> dict[Mode, Sampling]:
    """What completions depend on in each mode, besides their prompts."""
    settings, calls = job.settings, inputs.calls
    identity = {
        "backend": settings.backend_name,
        # A folder is the same model under every spelling of its path.
        "model": settings.model if inputs.model.commit else LOCAL_FOLDER,
        "fingerprint": inputs.model.fingerprint,
        "dtype": dtype,
        "grammar": calls.grammar,
        # Left out where there are none: what was stored before there were such settings counts.
        **({"stop_token_ids": list(calls.stop_token_ids)} if calls.stop_token_ids else {}),
        **({"served_name": settings.endpoint_model} if settings.endpoint_model else {}),
        # Before, servers took what a request left out from the model's generation_config.json.
        **({"sampling": "explicit"} if settings.backend_name == "endpoint" else {}),
        **settings.engine.given,
    }
    return {
        mode: Sampling(settings, mode, identity, calls.thinking_tokens) for mode in settings.modes
    }


def _plans(
    job: FillJob,
    inputs: FillInputs,
    renderer: PromptRenderer,
    sampling: Mapping[Mode, Sampling],
    limit: int,
) -> list[ShardPlan]:
    """The plan of each set; ``limit`` is the context in tokens."""
    make_grammar = None
    if job.settings.constrain_tool_calls:
        make_grammar = partial(calls_grammar, renderer, inputs.calls.settled)
    schemas = SkeletonTools(job, inputs.tools, make_grammar)
    plans = []
    for index, part in enumerate(job.sets):
        plan = plan_shard(job, schemas, renderer.prompt, sampling, limit, index)
        plans.append(plan)
        logger.info("%s: %s", part.stem, plan.describe())
        if plan.first_prompt is not None:
            logger.info("first rendered prompt of %s:\n%s", part.stem, plan.first_prompt)
    return plans


def engine_context(longest: int, limit: int) -> int:
    """Context length in tokens to start the engine with: the longest request of the job, rounded
    up, so that memory goes to requests in flight.
    """
    return min(limit, -(-longest // CONTEXT_STEP) * CONTEXT_STEP)
