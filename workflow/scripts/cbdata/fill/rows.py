"""The rows of a shard file (fill_row_v1): made, written, and checked where they are read."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import jsonschema_rs

from cbdata.fill.completed_traces import completed_trace
from cbdata.fill.job import FillJob
from cbdata.fill.models import LocalModel
from cbdata.fill.plan import Settled, ShardPlan, prompt_messages
from cbdata.fill.preflight import FillInputs
from cbdata.fill.progress_store import Stored
from cbdata.fill.requests import WorkItem
from cbdata.fill.runner import Attempted, Throughput
from cbdata.fill.settings import FillSettings
from cbdata.fill.skeletons import Skeleton
from cbdata.jsonl import AtomicFile, JsonlError, dumps
from cbdata.judge.judgement import Judgement
from cbdata.lookup import Place, read_places
from cbdata.records import FillOutcome, FillReject, FillRow, FillRun, Generation
from cbdata.schemas import load_schema


def write_shard(
    job: FillJob,
    inputs: FillInputs,
    plan: ShardPlan,
    done: Sequence[Attempted[Judgement]],
    throughput: Throughput,
) -> None:
    """Publish the shard's file: one row a skeleton and mode in the order of the skeletons, then one
    row on the run itself.

    Args:
        job: The shard, and where its file goes.
        inputs: The model and the tool schema of the run.
        plan: The shard's skeletons, and what was settled without a model.
        done: What was generated for every item of the plan.
        throughput: The work of this run.
    """
    rows: list[FillOutcome] = [
        *(settled_row(each) for each in plan.settled),
        *(
            attempted_row(each, plan.skeletons[each.item.trace_id], job.settings, inputs)
            for each in done
        ),
    ]
    rows.sort(key=lambda row: (row["line"], row["mode"] != "ds"))
    run: FillRun = {
        "row": "run",
        "shard": job.shard,
        "shards": job.shards,
        "generated": throughput.generated,
        "reused": throughput.reused,
        "prompt_tokens": throughput.prompt_tokens,
        "completion_tokens": throughput.completion_tokens,
        "seconds": throughput.seconds,
        "load_seconds": throughput.load_seconds,
    }
    out = AtomicFile(job.output)
    try:
        for row in rows:
            out.write(dumps(row))
        out.write(dumps(run))
    except BaseException:
        out.discard()
        raise
    out.publish()


def read_rows(path: str | Path) -> Iterator[tuple[Place, FillRow]]:
    """Yield every row of a shard file with its place. Raises JsonlError at the first line that is
    not a fill_row_v1; the trace of a row is left to trace_v1.
    """
    for place, record in read_places(path):
        if error := _row_error(record):
            raise JsonlError(
                place.path,
                place.line,
                "a row of a shard file (fill_row_v1)",
                error,
                "remove the file and run its rule again",
            )
        yield place, cast(FillRow, record)


def settled_row(settled: Settled) -> FillOutcome:
    """The row of a skeleton that gets no completion in a mode."""
    if settled.fault is None:
        return {"row": "duplicate", "line": settled.skeleton.line, "mode": settled.mode}
    return {
        "row": "reject",
        "line": settled.skeleton.line,
        "mode": settled.mode,
        "record_id": settled.skeleton.trace_id,
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
        "reason": "engine_refused",
        "detail": attempted.refusal or "",
    }
    if attempted.refusal is not None:
        return reject
    stored, judgement = attempted.tries[-1]
    generation = _generation(item, stored, settings, inputs.model)
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
        tool_schema=inputs.tools,
    )
    return {
        "row": "trace",
        "line": skeleton.line,
        "mode": item.mode,
        "trace": trace,
        "outcomes": outcomes,
        "arguments_valid": judgement.arguments_valid,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
    }


def _generation(
    item: WorkItem, stored: Stored, settings: FillSettings, model: LocalModel
) -> Generation:
    request = item.request(stored.key.attempt)
    generation: Generation = {
        "model": settings.model,
        "revision": model.commit,
        "backend": stored.backend,
        "version": stored.version,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
        "attempt": request.attempt,
        "finish_reason": stored.finish_reason,
        "prompt_sha256": item.prompt_sha256,
        "prompt_tokens": len(item.prompt_ids),
        "constrained": settings.constrain_tool_calls,
    }
    if item.mode == "dr":
        generation["dr_context"] = settings.dr_context
    generation["system_suffix"] = settings.system_suffix(item.mode)
    return generation


@functools.cache
def _validators() -> dict[str, Any]:
    """A compiled validator for each kind of row: of a whole ``oneOf`` the library could only say
    that no alternative fits.
    """
    schema = load_schema("fill_row_v1")
    kinds = [choice["$ref"].rsplit("/", 1)[1] for choice in schema["oneOf"]]
    return {
        kind: jsonschema_rs.validator_for({"$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]})
        for kind in kinds
    }


def _row_error(record: dict[str, Any]) -> str | None:
    kind = record.get("row")
    validators = _validators()
    validator = validators.get(kind) if isinstance(kind, str) else None
    if validator is None:
        return f"row {kind!r}, which is none of {', '.join(validators)}"
    for error in validator.iter_errors(record):
        path = "/".join(str(part) for part in error.instance_path)
        return f"{path or f'a {kind} row'}: {error.message}"
    return None
