"""One shard: which skeletons it has, their items, and the file of rows that the merge reads."""

from __future__ import annotations

import array
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cbdata.fill.completed_traces import completed_trace
from cbdata.fill.job import FillJob, FillSettings, Mode
from cbdata.fill.models import LocalModel
from cbdata.fill.progress_store import Stored
from cbdata.fill.prompts import skeleton_messages
from cbdata.fill.requests import Item, Sampling, overlength
from cbdata.fill.runner import Attempted, Throughput
from cbdata.ids import shard_of
from cbdata.jsonl import AtomicFile, dumps, read_records
from cbdata.judge.judgement import Judgement, ineligible, judge
from cbdata.progress import Progress
from cbdata.rejects import Reject
from cbdata.render import Prompt
from cbdata.schemas import first_error
from cbdata.tools import ToolSchema

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Skeleton:
    """A record of the skeleton file, counted from line 1; ``fault`` is (reason, detail) of one that
    cannot be used.
    """

    line: int
    record: dict[str, Any]
    fault: tuple[str, str] | None = None
    duplicate: bool = False

    @property
    def trace_id(self) -> str:
        """The record's id, or a stand-in where it has none."""
        found = self.record.get("id")
        return found if isinstance(found, str) else f"line {self.line}"


def shard_skeletons(path: str, limit: int | None, shard: int, shards: int) -> Iterator[Skeleton]:
    """One shard's part of the first ``limit`` records (all if None) in file order; later copies of
    an id are marked as duplicates.

    Only the shard's own records are validated: copies of an id are all in one shard, and every
    record is in some shard.
    """
    seen: set[str] = set()
    for line, record in read_records(path):
        if limit is not None and line > limit:
            return
        trace_id = Skeleton(line, record).trace_id
        if shard_of(trace_id, shards) != shard:
            continue
        error = first_error("trace_v1", record)
        yield Skeleton(
            line,
            record,
            ("invalid_trace", error) if error else None,
            duplicate=error is None and trace_id in seen,
        )
        seen.add(trace_id)


@dataclass
class ShardPlan:
    """What a shard has to do: the skeletons by id, items to generate, and the rows that are settled
    without a model.
    """

    skeletons: dict[str, Skeleton] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    settled: list[dict[str, Any]] = field(default_factory=list)
    first_prompt: str | None = None


RenderPrompt = Callable[[list[dict[str, Any]]], Prompt]
"""Messages to a prompt; raises Reject."""


def plan_shard(
    job: FillJob,
    tools: ToolSchema,
    render: RenderPrompt,
    sampling: Mapping[Mode, Sampling],
    context: int,
) -> ShardPlan:
    """Render the prompts of a shard and set aside what needs no generation, each with its reason.

    ``context``: longest prompt plus completion in tokens.
    """
    plan = ShardPlan()
    progress = Progress(f"prompts of shard {job.shard} of {job.shards}")
    for skeleton in shard_skeletons(job.skeletons, job.settings.limit, job.shard, job.shards):
        if not skeleton.duplicate:
            plan.skeletons[skeleton.trace_id] = skeleton
        for mode in job.settings.modes:
            fault = skeleton.fault or _unfit(skeleton.record, mode, job.settings, tools)
            if skeleton.duplicate:
                plan.settled.append({"row": "duplicate", "line": skeleton.line, "mode": mode})
                continue
            if fault is None:
                try:
                    prompt = render(prompt_messages(skeleton.record, mode, job.settings))
                except Reject as error:
                    fault = (error.reason, error.detail)
                else:
                    too_long = overlength(len(prompt.ids), job.settings.max_tokens, context)
                    fault = ("overlength", too_long) if too_long else None
            if fault is not None:
                plan.settled.append(_reject(skeleton, mode, *fault))
                continue
            plan.first_prompt = plan.first_prompt or prompt.text
            plan.items.append(
                Item(
                    skeleton.trace_id,
                    skeleton.line,
                    mode,
                    array.array("I", prompt.ids),
                    prompt.sha256,
                    sampling[mode],
                )
            )
        progress.add()
    progress.finish()
    return plan


def prompt_messages(
    record: Mapping[str, Any], mode: Mode, settings: FillSettings
) -> list[dict[str, Any]]:
    """The messages of a skeleton in a mode under these settings. Raises Reject."""
    return skeleton_messages(
        record, mode, settings.dr_context, settings.ds_system_suffix, settings.dr_system_suffix
    )  # type: ignore[arg-type]


def _unfit(
    record: Mapping[str, Any], mode: Mode, settings: FillSettings, tools: ToolSchema
) -> tuple[str, str] | None:
    if record["completeness"] != "skeleton":
        return "not_a_skeleton", f"completeness is {record['completeness']}"
    ref = record["raw_metadata"].get("tool_schema_ref")
    if ref is not None and ref != tools.ref:
        made, now = f"{ref['version']} {ref['digest'][:12]}", f"{tools.version} {tools.digest[:12]}"
        return "tool_schema_mismatch", f"the skeleton was made with {made}, {tools.path} is {now}"
    attack = record.get("tool_attack") or {}
    return ineligible(
        mode,
        attack.get("expected_tool"),
        attack.get("simulated_tool"),
        tools,
        settings.ds_criterion,
    )  # type: ignore[arg-type]


def judge_with(
    tools: ToolSchema, settings: FillSettings, skeletons: Mapping[str, Skeleton]
) -> Callable[[Item, Stored], Judgement]:
    """The judge of one shard's completions."""

    def verdict(item: Item, stored: Stored) -> Judgement:
        attack = skeletons[item.trace_id].record.get("tool_attack") or {}
        return judge(
            stored.text,
            finish_reason=stored.finish_reason,
            mode=item.mode,
            expected_tool=attack.get("expected_tool"),
            simulated_tool=attack.get("simulated_tool"),
            tool_schema=tools,
            ds_criterion=settings.ds_criterion,  # type: ignore[arg-type]
            strict_arguments=settings.strict_arguments,
        )

    return verdict


def _reject(
    skeleton: Skeleton, mode: Mode, reason: str, detail: str, **more: Any
) -> dict[str, Any]:
    return {
        "row": "reject",
        "line": skeleton.line,
        "mode": mode,
        "record_id": skeleton.trace_id,
        "reason": reason,
        "detail": detail,
        **more,
    }


def _generation(
    item: Item, stored: Stored, settings: FillSettings, model: LocalModel
) -> dict[str, Any]:
    request = item.request(stored.key[2])
    return {
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
        **({"dr_context": settings.dr_context} if item.mode == "dr" else {}),
        "system_suffix": settings.system_suffix(item.mode),
    }


def attempted_row(
    attempted: Attempted,
    skeleton: Skeleton,
    settings: FillSettings,
    model: LocalModel,
    tools: ToolSchema,
) -> dict[str, Any]:
    """The row of an item that went to the model: its trace, or the reject of its
    last completion.
    """
    item = attempted.item
    if attempted.refusal is not None:
        return _reject(skeleton, item.mode, "engine_refused", attempted.refusal)
    stored, verdict = attempted.tries[-1]
    judgement: Judgement = verdict  # type: ignore[assignment]
    figures = {
        "outcomes": [each.outcome for _, each in attempted.tries],  # type: ignore[attr-defined]
        "arguments_valid": judgement.arguments_valid,
        "prompt_tokens": len(item.prompt_ids) * len(attempted.tries),
        "completion_tokens": sum(len(each.token_ids) for each, _ in attempted.tries),
    }
    generation = _generation(item, stored, settings, model)
    if not judgement.accepted:
        raw = {
            "completion": stored.text,
            "completion_token_ids": stored.token_ids,
            "observed_tool": judgement.observed_tool,
            "generation": generation,
        }
        return _reject(skeleton, item.mode, judgement.outcome, judgement.detail, raw=raw, **figures)
    trace = completed_trace(
        skeleton.record,
        prompt_messages(skeleton.record, item.mode, settings),
        judgement,
        completion_text=stored.text,
        completion_token_ids=stored.token_ids,
        generation=generation,
        tool_schema=tools,
    )
    return {"row": "trace", "line": skeleton.line, "mode": item.mode, "trace": trace, **figures}


def write_shard(
    job: FillJob,
    plan: ShardPlan,
    done: list[Attempted],
    throughput: Throughput,
    model: LocalModel,
    tools: ToolSchema,
) -> None:
    """Publish the shard's file: one row a skeleton and mode in the order of the skeletons, then one
    row on the run itself.
    """
    rows = [
        *plan.settled,
        *(
            attempted_row(each, plan.skeletons[each.item.trace_id], job.settings, model, tools)
            for each in done
        ),
    ]
    rows.sort(key=lambda row: (row["line"], row["mode"] != "ds"))
    out = AtomicFile(job.output)
    try:
        for row in rows:
            out.write(dumps(row))
        out.write(
            dumps({"row": "run", "shard": job.shard, "shards": job.shards, **asdict(throughput)})
        )
    except BaseException:
        out.discard()
        raise
    out.publish()
