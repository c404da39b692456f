"""AgentDojo transcripts (exported JSONL and the benchmark's ``runs/`` tree) to trace_v1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cbdata.ids import trace_id
from cbdata.jsonl import dumps
from cbdata.progress import Progress
from cbdata.rejects import Reasons, Reject
from cbdata.sources import INGEST_VERSION, shown
from cbdata.sources.agentdojo_exposure import FoundInjection, find_injections
from cbdata.sources.agentdojo_labels import (
    RANK,
    RESISTED,
    RunLabels,
    is_denial_of_service,
    label_run,
)
from cbdata.sources.agentdojo_messages import MESSAGE_REASONS, Transcript, normalise
from cbdata.sources.agentdojo_runs import Run, read_run, split_pipeline
from cbdata.sources.files import input_files, source_names
from cbdata.sources.options import DEFAULTS, SPLIT_CONFLICT, LoadOptions
from cbdata.sources.options import RESISTED as RESISTED_REASON
from cbdata.sources.raw_lines import checked_json, parse_object
from cbdata.sources.raw_records import read_records
from cbdata.sources.reasons import READING
from cbdata.sources.split_keys import injection_key
from cbdata.sources.splits import Split, SplitAssigner
from cbdata.sources.spool import Entry, collecting
from cbdata.sources.task_names import read_wordings
from cbdata.sources.wordings import Wordings, goal_key
from cbdata.stage import StageFiles
from cbdata.tools import ToolSchema, load_tool_schema
from cbdata.traces.content_flags import message_flags

DATASET = "agentdojo"

WRITTEN_CALL = "<function_call>"
"""How models write calls that are prompted for them, as DRIFT prompts: the record has such a call
twice, read and as it was written.
"""

REASONS: Reasons = {
    **READING,
    **MESSAGE_REASONS,
    "missing_messages": "the record has no list of messages",
    "empty_transcript": "the list of messages is empty",
    "stopped_run": "the run has no verdict, and does not end in an answer of the model",
    "bad_security": "an injected run whose security is neither true nor false",
}


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that writes its runs as AgentDojo does.

    - ``dataset``: its name in traces, classes and tool schemas
    - ``config_key``: the configuration's key of its path, for errors
    - ``reasons``: what its records are rejected for
    - ``adapt``: makes of a record, and the path of its file, a record as AgentDojo's own
    """

    dataset: str
    config_key: str
    reasons: Reasons
    adapt: Callable[[dict[str, Any], Path], dict[str, Any]] = lambda record, path: record


AGENTDOJO = Benchmark(DATASET, "agentdojo_path", REASONS)


class RecordPlace(NamedTuple):
    """Where a record lies: the file's name in the output, the line (None for a whole file)."""

    file: str
    line: int | None


def convert(
    raw: Sequence[str | Path],
    *,
    tool_schemas: Sequence[str | Path],
    split: Split,
    outputs: StageFiles,
    max_reject_fraction: float,
    options: LoadOptions = DEFAULTS,
) -> None:
    """Convert AgentDojo's transcripts to traces; see ``convert_runs``."""
    convert_runs(
        AGENTDOJO,
        raw,
        tool_schemas=tool_schemas,
        split=split,
        outputs=outputs,
        max_reject_fraction=max_reject_fraction,
        options=options,
    )


def convert_runs(
    benchmark: Benchmark,
    raw: Sequence[str | Path],
    *,
    tool_schemas: Sequence[str | Path],
    split: Split,
    outputs: StageFiles,
    max_reject_fraction: float,
    options: LoadOptions,
) -> None:
    """Convert transcripts to traces; write traces, rejects and stats, published together.

    The output depends on the contents and names of the files alone, not on the order in which they
    are given or listed. Runs with exactly the same messages become one trace, whose
    ``links.duplicates`` names the others. If they do not even agree in ``category``, all of them
    are rejected (``conflicting_labels``).

    Args:
        benchmark: Which benchmark's they are.
        raw: Files, and folders of files.
        tool_schemas: The files ``{benchmark}_{suite}_v1.json`` that traces refer to. The traces of
            a suite without one have no reference.
        split: A split's name, or names with fractions that add up to 1. Fractions go by the user
            task, or by the attack's goal. The files are read twice for them, since any record may
            word a task anew.
        outputs: Where traces, rejects and stats go.
        max_reject_fraction: The largest part of the records, 0 to 1, that may be rejected.
        options: What takes part.

    Raises:
        SourceError: No run can use the input.
        TooManyRejects: More was rejected than is allowed.
    """
    files = source_names(input_files(raw, benchmark.config_key))
    assign = SplitAssigner(split, options.split_by)
    tasks = None if assign.name else read_wordings((path for _, path in files), benchmark.adapt)
    schemas = _suite_schemas(tool_schemas, benchmark.dataset)
    progress = Progress(f"{benchmark.dataset} transcripts", files=[path for _, path in files])
    blank = 0
    with collecting(
        f"{benchmark.dataset}_complete", benchmark.reasons, outputs, options, max_reject_fraction
    ) as (writer, spool):
        for number, (name, path) in enumerate(files, start=1):
            for line in read_records(path):
                if not line.data and line.problem is None:
                    blank += 1
                    continue
                record: dict[str, Any] = {}
                try:
                    record = parse_object(line)
                    if _is_header(record):
                        writer.header()
                        continue
                    record = benchmark.adapt(record, path)
                    place = RecordPlace(name, line.number)
                    trace = _trace(benchmark, record, place, assign, tasks, schemas, options)
                except Reject as problem:
                    writer.reject(
                        problem,
                        file=name,
                        line=line.number,
                        record_id=_record_id(record),
                        raw=line.data,
                    )
                else:
                    spool.add(*trace)
                writer.take()
                progress.add(extra=f"file {number} of {len(files)}")
        writer.details = {
            "files": len(files),
            "blank_lines": blank,
            **spool.settle(writer),
            "label_conflicts": spool.conflicts,
        }
    progress.finish(f"{writer.records_out} kept")


def _is_header(record: dict[str, Any]) -> bool:
    """Whether a line is the header of an export: ``{"metadata": {benchmark, accuracy, name}}`` and
    no transcript.
    """
    metadata = record.get("metadata")
    return (
        "messages" not in record
        and type(metadata) is dict
        and "user_task_id" not in metadata
        and "benchmark" in metadata
    )


def _suite_schemas(files: Iterable[str | Path], dataset: str) -> dict[str, ToolSchema]:
    """The tool schema of each suite, by the version in the file, so that a suite's name in the data
    is never a path.
    """
    schemas = [load_tool_schema(path) for path in files]
    return {
        schema.version.removeprefix(f"{dataset}_").removesuffix("_v1"): schema for schema in schemas
    }


def _record_id(record: dict[str, Any]) -> str | None:
    """The id of a record that was rejected, if it has facts enough for one."""
    try:
        return read_run(record).raw_id
    except Reject:
        return None


def _trace(
    benchmark: Benchmark,
    record: dict[str, Any],
    place: RecordPlace,
    assign: SplitAssigner,
    tasks: Wordings | None,
    schemas: dict[str, ToolSchema],
    options: LoadOptions,
) -> tuple[bytes, Entry]:
    """The trace of a record as a line, and what decides about it among its copies. Raises
    Reject.
    """
    raw_messages = record.get("messages")
    if type(raw_messages) is not list:
        raise Reject("missing_messages", f"messages: expected a list, got {shown(raw_messages)}")
    run = read_run(record)
    if not raw_messages:
        raise Reject("empty_transcript", "messages: the list is empty, the run left no transcript")
    talk = normalise(raw_messages)
    if not (run.judged or run.error or talk.finished):
        raise Reject(
            "stopped_run",
            "neither utility nor security is set, and the last of"
            f" {len(talk.messages)} messages is no answer",
        )
    spans, tellable = (
        find_injections(talk.messages, run.injections, run.attack_type)
        if run.injection_task
        else ([], True)
    )
    run_labels = label_run(
        injection_task_id=run.injection_task,
        security=run.security,
        error=run.error,
        attack_type=run.attack_type,
        judged=run.judged,
        has_messages=True,
        exposed=bool(spans),
    )
    schema = schemas.get(run.suite)
    flags = sorted(talk.flags.union(run_labels.flags, _run_flags(run, talk, schema, tellable)))
    messages = checked_json(talk.messages)
    role = "complete" if talk.answered else "skeleton"
    identity = trace_id(benchmark.dataset, role, orjson.Fragment(messages))
    model, family, defense = split_pipeline(run.pipeline)
    assigned = assign.name
    if tasks is not None:
        assigned = assign.of(
            tasks.key((run.suite, run.user_task)), _injection_key(run, talk, spans)
        )
    split = assigned or SPLIT_CONFLICT
    class_id = run_labels.class_id.replace(DATASET, benchmark.dataset, 1)
    omitted = None if assigned else SPLIT_CONFLICT
    if run_labels.class_id == RESISTED and options.resisted == "exclude":
        omitted = omitted or RESISTED_REASON
    raw_metadata: dict[str, Any] = {
        "source_fields": orjson.Fragment(checked_json(talk.source_fields(run.source_fields)))
    }
    if schema is not None:
        raw_metadata["tool_schema_ref"] = schema.ref
    trace = {
        "id": identity,
        "completeness": role,
        "tier": "B2" if talk.answered else "B1",
        "split": split,
        "source": {
            "dataset": benchmark.dataset,
            "subset": run.suite,
            "file": place.file,
            "record_locator": (
                {"kind": "file", "value": place.file}
                if place.line is None
                else {"kind": "line", "value": place.line}
            ),
            "ingest_version": INGEST_VERSION,
            "model_id": model,
            "model_family": family,
            "defense": defense,
        },
        "task": {"family": run.suite, "name": run.user_task, "variant": run.injection_task},
        "messages": orjson.Fragment(messages),
        "labels": run_labels.labels,
        "training": {
            "sample_weight": 1.0,
            "mixture": {"class_id": class_id, "stage_tags": []},
        },
        "links": {"raw_id": run.raw_id},
        "signal_hints": _hints(run, talk, spans, flags, messages),
        "raw_metadata": raw_metadata,
    }
    if run.injection_task:
        trace["tool_attack"] = {
            "attack_vector": "tool_result",
            "injection_text": _span_text(talk, spans),
        }
    entry = Entry(
        id=identity,
        verdict=run_labels.labels["category"],
        rank=RANK[run_labels.class_id],
        alias=None,
        facts=(
            ("classes", class_id),
            ("splits", split),
            ("completeness", role),
            *_facts(run.pipeline or "unknown", run_labels, tuple(flags)),
        ),
        class_id=class_id,
        omitted=omitted,
    )
    return dumps(trace), entry


def _injection_key(run: Run, talk: Transcript, spans: list[FoundInjection]) -> str | None:
    """What splits compare of an attack: its goal as the model saw it, whatever words are around it.
    Of one that was not shown it is the goal that the run gives, or the goal's name. An attack that
    stops the agent has no goal, so there it is the attack.
    """
    if run.injection_task is None:
        return None
    if is_denial_of_service(run.attack_type):
        return run.attack_type
    text = _span_text(talk, spans) or next(iter(run.injections), None)
    return injection_key(text) if text else goal_key((run.suite, run.injection_task))


def _run_flags(run: Run, talk: Transcript, schema: ToolSchema | None, tellable: bool) -> set[str]:
    """Flags of a run that neither its messages nor its labels show."""
    flags = set()
    if not tellable:
        flags.add("exposure_cannot_be_told")
    if not talk.answered:
        flags.add("no_assistant_turn")
    if any("tool_calls" in each and WRITTEN_CALL in each["content"] for each in talk.messages):
        flags.add("call_in_content_too")
    if run.user_task.startswith("injection_task"):
        flags.add("injection_task_as_user_task")
    if schema is not None and not talk.called.issubset(schema.names):
        flags.add("call_to_unknown_tool")
    return flags


def _facts(pipeline: str, labels: RunLabels, flags: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """What the stats count by pipeline over the traces that were kept, and the flags."""
    facts = [("traces_by_pipeline", pipeline)]
    if labels.labels["attack_present"]:
        facts.append(("attack_present_by_pipeline", pipeline))
    if labels.labels["attack_succeeded"]:
        facts.append(("attack_succeeded_by_pipeline", pipeline))
    facts += [("record_flags", flag) for flag in flags]
    return tuple(facts)


def _hints(
    run: Run, talk: Transcript, spans: list[FoundInjection], flags: list[str], canonical: bytes
) -> dict[str, Any]:
    rows = [
        {"message_index": span.message_index, "char_start": span.start, "char_end": span.end}
        for span in spans
    ]
    hints: dict[str, Any] = {
        "injection_char_span": rows[0] if rows else None,
        "raw_format": run.raw_format,
    }
    if len(rows) > 1:
        hints["injection_char_spans"] = rows
    contents = message_flags(talk.messages, canonical)
    if contents:
        hints["content_flags"] = contents
    if flags:
        hints["record_flags"] = flags
    return hints


def _span_text(talk: Transcript, spans: list[FoundInjection]) -> str | None:
    """The injection as the model first saw it, None if it never did."""
    if not spans:
        return None
    first = spans[0]
    content: str = talk.messages[first.message_index]["content"]
    return content[first.start : first.end]
