"""The rows of one shard, made of what was settled without a model and of what the model wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cbdata.fill.clean_twin import clean_twin
from cbdata.fill.completed_traces import completed_trace
from cbdata.fill.job import FillJob
from cbdata.fill.plan import SettledSkeleton, ShardPlan, prompt_messages
from cbdata.fill.preflight import FillInputs
from cbdata.fill.progress_store import Stored
from cbdata.fill.requests import WorkItem
from cbdata.fill.runner import Attempted, Throughput
from cbdata.fill.settings import FillSettings
from cbdata.fill.skeletons import Skeleton
from cbdata.judge.judgement import Judgement
from cbdata.records import FillOutcome, FillReject, FillRun, Generation


def shard_rows(
    job: FillJob, inputs: FillInputs, plan: ShardPlan, done: Sequence[Attempted[Judgement]]
) -> Iterator[FillOutcome]:
    """Yield a row for each skeleton and mode of a shard of one set.

    Args:
        job: The shard.
        inputs: The model and the tool schema of the run.
        plan: The shard's skeletons, and what was settled without a model.
        done: What was generated for every item of the plan.
    """
    for settled in plan.settled:
        yield settled_row(settled)
    for attempted in done:
        skeleton = plan.skeletons[attempted.item.trace_id]
        yield attempted_row(attempted, skeleton, job.settings, inputs)


def run_row(job: FillJob, throughput: Throughput) -> FillRun:
    """The closing row: the work of the run that made a shard."""
    return {
        "row": "run",
        "shard": job.shard,
        "shards": job.shards,
        "generated": throughput.generated,
        "reused": throughput.reused,
        "prompt_tokens": throughput.prompt_tokens,
        "completion_tokens": throughput.completion_tokens,
        "seconds": throughput.seconds,
        "load_seconds": throughput.load_seconds,
        "cached_prompt_tokens": throughput.cached_prompt_tokens,
    }


def settled_row(settled: SettledSkeleton) -> FillOutcome:
    """The row of a skeleton that gets no completion in a mode."""
    skeleton, mode = settled.skeleton, settled.mode
    if settled.fault is None:
        return {
            "row": "duplicate",
            "line": skeleton.line,
            "mode": mode,
            "record_id": skeleton.trace_id,
            "record_sha256": skeleton.sha256,
        }
    return {
        "row": "reject",
        "line": skeleton.line,
        "mode": mode,
        "record_id": skeleton.trace_id,
        "record_sha256": skeleton.sha256,
        "reason": settled.fault.reason,
        "detail": settled.fault.detail,
    }


def attempted_row(
    attempted: Attempted[Judgement], skeleton: Skeleton, settings: FillSettings, inputs: FillInputs
) -> FillOutcome:
    """The row of an item that went to the model: its trace, or the reject of its last completion.

    Args:
        attempted: The item with its judged completions, or with the engine's refusal.
        skeleton: The skeleton that was completed.
        settings: The run's settings.
        inputs: The model and the tool schema of the run.
    """
    item = attempted.item
    reject: FillReject = {
        "row": "reject",
        "line": skeleton.line,
        "mode": item.mode,
        "record_id": skeleton.trace_id,
        "record_sha256": skeleton.sha256,
        "reason": "engine_refused",
        "detail": attempted.refusal or "",
    }
    if attempted.refusal is not None:
        return reject
    stored, judgement = attempted.tries[-1]
    generation = _generation(item, stored, skeleton, settings, inputs)
    outcomes = [each.outcome for _, each in attempted.tries]
    prompt_tokens = len(item.prompt_ids) * len(attempted.tries)
    completion_tokens = sum(len(each.token_ids) for each, _ in attempted.tries)
    if not judgement.accepted:
        return {
            **reject,
            "reason": judgement.outcome,
            "detail": judgement.detail,
            "raw": {
                "completion": stored.text,
                "completion_token_ids": stored.token_ids,
                "completion_spans": judgement.spans,
                "observed_tool": judgement.observed_tool,
                "generation": generation,
            },
            "outcomes": outcomes,
            "arguments_valid": judgement.arguments_valid,
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
        }
    trace = completed_trace(
        skeleton.trace,
        prompt_messages(skeleton.record, item.mode, settings),
        judgement,
        completion_text=stored.text,
        completion_token_ids=stored.token_ids,
        generation=generation,
        tool_schema=skeleton.tools or inputs.tools,
    )
    return {
        "row": "trace",
        "line": skeleton.line,
        "mode": item.mode,
        "record_id": skeleton.trace_id,
        "record_sha256": skeleton.sha256,
        "trace": trace,
        "outcomes": outcomes,
        "arguments_valid": judgement.arguments_valid,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
    }


def _generation(
    item: WorkItem, stored: Stored, skeleton: Skeleton, settings: FillSettings, inputs: FillInputs
) -> Generation:
    request = item.request(stored.key.attempt)
    generation: Generation = {
        "model": settings.model,
        "revision": inputs.model.commit,
        "backend": stored.backend,
        "version": stored.version,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": settings.max_tokens,
        "seed": request.seed,
        "attempt": request.attempt,
        "finish_reason": stored.finish_reason,
        "prompt_sha256": item.prompt_sha256,
        "prompt_tokens": len(item.prompt_ids),
        "constrained": settings.constrain_tool_calls,
        "call_format": inputs.calls.settled.call_format,
    }
    if inputs.calls.thinking_tokens:
        generation["max_thinking_tokens"] = inputs.calls.thinking_tokens
    if settings.accept_calls_in_prose:
        generation["accept_calls_in_prose"] = True
    if item.mode == "dr":
        generation["dr_context"] = clean_twin(skeleton.record, settings.dr_context).context
    generation["system_suffix"] = settings.system_suffix(item.mode)
    return generation
