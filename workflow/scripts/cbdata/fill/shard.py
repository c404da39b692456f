"""One shard from its job to its file: lock, prompts, what is stored, what is generated, what is
published.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any, Protocol

from cbdata.fill.backends.base import Backend, Engine, EngineOptions
from cbdata.fill.call_reading import CompletionReader, TokenText
from cbdata.fill.devices import weight_type
from cbdata.fill.job import FillJob
from cbdata.fill.judging import ShardJudge
from cbdata.fill.lock import ShardLock
from cbdata.fill.outcome_watch import describe_unread
from cbdata.fill.plan import plan_shard
from cbdata.fill.preflight import FillInputs
from cbdata.fill.progress_store import ProgressStore
from cbdata.fill.requests import Sampling
from cbdata.fill.row_file import write_rows
from cbdata.fill.rows import run_row, shard_rows
from cbdata.fill.runner import Runner, StopFlag
from cbdata.fill.token_budget import TokenBudget
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
    job: FillJob, inputs: FillInputs, renderer: PromptRenderer, backend: Backend, stop: StopFlag
) -> None:
    """Do one shard and publish its rows; the lock, the progress file and the engine are closed when
    this returns or raises.

    Args:
        job: The shard and its settings.
        inputs: What ``preflight`` found: the model and the tool schema.
        renderer: Makes prompts of messages and text of token ids.
        backend: Opens the engine, which is not done if every completion is stored already.
        stop: Says whether the job was told to stop.

    Raises:
        Stopped: The job was told to stop; what finished is kept.
        EngineDied: The engine is gone; what finished is kept.
    """
    settings = job.settings
    with ShardLock(job.lock_file):
        grammar, settled, stops = (
            inputs.calls.grammar,
            inputs.calls.settled,
            inputs.calls.stop_token_ids,
        )
        logger.info(
            "completions are read as %s; a turn ends with %s",
            settled.call_format,
            ", ".join(sorted(settled.end_tokens)) or "no known token",
        )
        dtype = weight_type(settings.dtype, inputs.device)
        identity = {
            "backend": settings.backend_name,
            # A folder is the same model under every spelling of its path.
            "model": settings.model if inputs.model.commit else LOCAL_FOLDER,
            "fingerprint": inputs.model.fingerprint,
            "dtype": dtype,
            "grammar": grammar,
            # Left out where there are none: what was stored before there were such settings counts.
            **({"stop_token_ids": list(stops)} if stops else {}),
            **settings.engine.given,
        }
        sampling = {
            mode: Sampling(settings, mode, identity, inputs.calls.thinking_tokens)
            for mode in settings.modes
        }
        budget = TokenBudget(settings.max_tokens, inputs.calls.thinking_tokens)
        logger.info("a completion may have %s tokens", budget)
        limit = settings.max_model_len or inputs.model.context
        plan = plan_shard(
            job,
            inputs.tools,
            renderer.prompt,
            sampling,
            limit,
        )
        if plan.first_prompt is not None:
            logger.info("first rendered prompt:\n%s", plan.first_prompt)

        def open_engine() -> Engine:
            return backend.open(
                EngineOptions(
                    model=inputs.model.path,
                    runtime=job.runtime,
                    engine=settings.engine,
                    device=inputs.device,
                    dtype=dtype,
                    max_model_len=engine_context(plan.longest_prompt + budget.longest, limit),
                    grammar=grammar,
                    stop_token_ids=stops,
                    seed=settings.seed,
                )
            )

        reader = CompletionReader(renderer, settled, settings.accept_calls_in_prose)
        judge = ShardJudge(reader, inputs.tools, settings, plan.skeletons)
        with (
            ProgressStore(job.progress_dir, job.label) as store,
            Runner(
                plan.items,
                store=store,
                judge=judge,
                attempts=settings.attempts,
                open_engine=open_engine,
                decode=renderer.decode,
                stop=stop,
            ) as runner,
        ):
            done = runner.run()
            rows = shard_rows(job, inputs, plan, done)
            logger.info("outcomes: %s", dict(judge.watch.outcomes.most_common()))
            logger.info("of all completions %s", describe_unread(judge.watch.outcomes))
            write_rows(job.output, rows, run_row(job, runner.throughput))
            logger.info("published %s: %s", job.output, asdict(runner.throughput))


def engine_context(longest: int, limit: int) -> int:
    """Context length in tokens to start the engine with: the longest request of the job, rounded
    up, so that memory goes to requests in flight.
    """
    return min(limit, -(-longest // CONTEXT_STEP) * CONTEXT_STEP)
