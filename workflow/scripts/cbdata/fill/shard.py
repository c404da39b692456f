"""One shard from its job to its file: lock, prompts, what is stored, what is generated, what is
published.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from cbdata.fill.backends.base import Backend
from cbdata.fill.constraints import argument_key, call_grammar
from cbdata.fill.job import FillJob
from cbdata.fill.models import LocalModel
from cbdata.fill.progress_store import ProgressStore
from cbdata.fill.requests import Sampling
from cbdata.fill.runner import Runner, StopFlag
from cbdata.fill.lock import ShardLock
from cbdata.fill.rows import judge_with, plan_shard, write_shard
from cbdata.render import Prompt
from cbdata.tools import ToolSchema

logger = logging.getLogger(__name__)

CONTEXT_STEP = 256


class PromptRenderer(Protocol):
    """The part of ``cbdata.render.Renderer`` that a fill job uses."""

    def prompt(self, messages: Any, tools: Any = None) -> Prompt:
        """Messages to the prompt that ETL_B will find at the start of the render."""
        ...

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """Token ids to text."""
        ...


def engine_context(longest: int, limit: int) -> int:
    """Context length to start the engine with: the longest request of the job, rounded up, so that
    memory goes to requests in flight.
    """
    return min(limit, -(-longest // CONTEXT_STEP) * CONTEXT_STEP)


def run_shard(
    job: FillJob,
    model: LocalModel,
    tools: ToolSchema,
    renderer: PromptRenderer,
    open_backend: Callable[[str | None, int], Backend],
    stop: StopFlag,
    cleanup: ExitStack,
) -> None:
    """Do one shard.

    ``open_backend`` loads the model, given the grammar of constrained calls (or None) and the
    context length; it is not called if every completion is stored already. What must happen at the
    end, the engine's shutdown among it, is left in ``cleanup``. Raises ShardBusy, Stopped or
    EngineDied.
    """
    settings = job.settings
    label = f"{job.shard}-of-{job.shards}"
    cleanup.enter_context(ShardLock(Path(job.progress_dir) / f"{label}.lock"))
    tool_list = list(tools.tools)
    grammar = None
    if settings.constrain_tool_calls:
        grammar = call_grammar(
            tools, argument_key(lambda messages: renderer.prompt(messages, tool_list).text, tools)
        )
    engine = {
        "backend": "vllm" if settings.use_vllm else "transformers",
        "model": settings.model,
        "fingerprint": model.fingerprint,
        "dtype": settings.dtype,
        "grammar": grammar,
    }
    sampling = {mode: Sampling(settings, mode, engine) for mode in settings.modes}
    limit = settings.max_model_len or model.context
    plan = plan_shard(
        job, tools, lambda messages: renderer.prompt(messages, tool_list), sampling, limit
    )
    if plan.first_prompt is not None:
        logger.info("first rendered prompt:\n%s", plan.first_prompt)
    store = ProgressStore(job.progress_dir, label)
    cleanup.callback(store.close)
    longest = max((len(item.prompt_ids) for item in plan.items), default=0) + settings.max_tokens
    runner = Runner(
        plan.items,
        store=store,
        judge=judge_with(tools, settings, plan.skeletons),
        attempts=settings.attempts,
        open_backend=lambda: open_backend(grammar, engine_context(longest, limit)),
        decode=renderer.decode,
        stop=stop,
    )
    cleanup.callback(runner.close)
    done = runner.run()
    write_shard(job, plan, done, runner.throughput, model, tools)
    logger.info("published %s: %s", job.output, asdict(runner.throughput))
