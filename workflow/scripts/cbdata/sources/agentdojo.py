"""AgentDojo transcripts (exported JSONL and the benchmark's ``runs/`` tree) to trace_v1."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cbdata.ids import trace_id
from cbdata.jsonl import dumps
from cbdata.progress import Progress
from cbdata.rejects import Reject
from cbdata.sources import INGEST_VERSION, shown
from cbdata.sources.agentdojo_exposure import Span, find_injections
from cbdata.sources.agentdojo_files import PathSpec, input_files, source_names
from cbdata.sources.agentdojo_labels import RANK, RunLabels, label_run
from cbdata.sources.agentdojo_messages import Conversation, normalise
from cbdata.sources.raw_lines import RawLine, checked_json, parse_object, read_lines, read_whole
from cbdata.sources.reasons import REASONS
from cbdata.sources.splits import Split, SplitAssigner
from cbdata.sources.spool import Entry, Spool
from cbdata.stage import StageFiles, StageWriter
from cbdata.tools import ToolSchema, load_tool_schema
from cbdata.traces.content_flags import message_flags

__all__ = ["DATASET", "convert", "input_files"]

logger = logging.getLogger(__name__)

DATASET = "agentdojo"

DEFENSES = (
    "tool_filter",
    "transformers_pi_detector",
    "spotlighting_with_delimiting",
    "repeat_user_prompt",
)
"""What AgentDojo appends to a pipeline's name (``agent_pipeline.DEFENSES``):
``gpt-4o-2024-05-13-tool_filter``.
"""

FAMILIES = {
    "gpt": "gpt",
    "claude": "claude",
    "gemini": "gemini",
    "command": "command",
    "llama": "llama",
    "mixtral": "mistral",
    "mistral": "mistral",
}
"""Model family by a part of the model's name, first match."""


class Run(NamedTuple):
    """The facts of one run, whichever form it was written in. ``source_fields`` are the others,
    ``security`` left out on purpose.
    """

    suite: str
    pipeline: str | None
    user_task: str
    injection_task: str | None
    attack_type: str | None
    security: Any
    error: str | None
    injections: list[str]
    raw_format: str
    source_fields: dict[str, Any]

    @property
    def raw_id(self) -> str:
        """``pipeline/suite/user_task/attack/injection``, the path of the run in the benchmark's own
        tree.
        """
        return "/".join(
            (
                self.pipeline or "unknown",
                self.suite,
                self.user_task,
                self.attack_type or "none",
                self.injection_task or "none",
            )
        )


class Place(NamedTuple):
    """Where a record lies: the file's name in the output, the line (None for a whole file)."""

    file: str
    line: int | None


def convert(
    paths: PathSpec,
    *,
    split: Split,
    outputs: StageFiles,
    max_reject_fraction: float,
    tool_schemas: Iterable[str | Path] = (),
) -> None:
    """Convert files, directories of files, or a list of them; write traces, rejects and stats,
    published together.

    The output depends on the contents and names of the files alone, not on the order in which they
    are given or listed. Runs with exactly the same messages become one trace, whose
    ``links.duplicates`` names the others; if they do not even agree in ``category`` all of them are
    rejected (``conflicting_labels``). With fractions, ``split`` goes by suite and user task.
    ``tool_schemas`` are the files ``agentdojo_<suite>_v1.json`` that traces refer to; a suite
    without one has no reference. Raises SourceError, TooManyRejects, ConservationError.
    """
    files = source_names(input_files(paths))
    assign = SplitAssigner(split)
    schemas = _suite_schemas(tool_schemas)
    progress = Progress("agentdojo transcripts")
    blank = 0
    with (
        StageWriter(
            "etl_a",
            "agentdojo_complete",
            outputs,
            REASONS,
            max_reject_fraction=max_reject_fraction,
        ) as writer,
        Spool(outputs.out.parent) as spool,
    ):
        for number, (name, path) in enumerate(files, start=1):
            for line in _records(path):
                if not line.data and line.problem is None:
                    blank += 1
                    continue
                record: dict[str, Any] = {}
                try:
                    record = parse_object(line)
                    if _is_header(record):
                        writer.header()
                        continue
                    trace = _trace(record, Place(name, line.number), assign, schemas)
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


def _records(path: Path) -> Iterator[RawLine]:
    if path.suffix == ".json":
        yield read_whole(path)
    else:
        yield from read_lines(path)


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


def _suite_schemas(files: Iterable[str | Path]) -> dict[str, ToolSchema]:
    """The tool schema of each suite, by the version in the file, so that a suite's name in the data
    is never a path.
    """
    schemas = [load_tool_schema(path) for path in files]
    return {
        schema.version.removeprefix("agentdojo_").removesuffix("_v1"): schema for schema in schemas
    }


def _text(fields: dict[str, Any], key: str, required: bool = False) -> str | None:
    """A field that must be a string; absent, null and empty are None. Raises Reject."""
    value = fields.get(key)
    if value is None or value == "":
        if required:
            raise Reject("missing_field", f"{key}: expected a string, the record has none")
        return None
    if type(value) is not str:
        raise Reject("wrong_type", f"{key}: expected a string or null, got {shown(value)}")
    return value


def _none(value: str | None) -> str | None:
    """AgentDojo's own word for no attack and no injection, in paths and command lines, is
    ``none``.
    """
    return None if value == "none" else value


def read_run(record: dict[str, Any]) -> Run:
    """The facts of a record in either form: an export with ``metadata``, or a run file with its
    fields at the top. Raises Reject.
    """
    if "metadata" in record:
        fields = record["metadata"]
        if type(fields) is not dict:
            raise Reject("wrong_type", f"metadata: expected an object, got {shown(fields)}")
        raw_format, pipeline_key = "agentdojo_export", "model"
        source = {**record, **fields}
        del source["metadata"]
    else:
        fields = record
        raw_format = (
            "agentdojo_run"
            if "agentdojo_package_version" in fields
            else "agentdojo_run_string_content"
        )
        pipeline_key = "pipeline_name"
        source = record.copy()
    source.pop("messages", None)
    source.pop("security", None)
    injections = record.get("injections") or {}
    if type(injections) is not dict or not all(type(text) is str for text in injections.values()):
        raise Reject(
            "wrong_type", f"injections: expected an object of texts, got {shown(injections)}"
        )
    return Run(
        suite=_text(fields, "suite_name", required=True),
        pipeline=_text(fields, pipeline_key),
        user_task=_text(fields, "user_task_id", required=True),
        injection_task=_none(_text(fields, "injection_task_id")),
        attack_type=_none(_text(fields, "attack_type")),
        security=fields.get("security"),
        error=_text(record, "error") or _text(fields, "error"),
        injections=sorted(set(injections.values())),
        raw_format=raw_format,
        source_fields=source,
    )


@functools.lru_cache(maxsize=256)
def split_pipeline(pipeline: str | None) -> tuple[str | None, str | None, str | None]:
    """(model, family of the model, defence) of a pipeline's name; None for what the name does not
    tell.
    """
    model, defense = pipeline, None
    for known in DEFENSES:
        if pipeline is not None and pipeline.endswith("-" + known):
            model, defense = pipeline.removesuffix("-" + known), known
    lowered = (model or "").lower()
    return (
        model,
        next((family for part, family in FAMILIES.items() if part in lowered), None),
        defense,
    )


def _record_id(record: dict[str, Any]) -> str | None:
    """The id of a record that was rejected, if it has facts enough for one."""
    try:
        return read_run(record).raw_id
    except Reject:
        return None


def _trace(
    record: dict[str, Any], place: Place, assign: SplitAssigner, schemas: dict[str, ToolSchema]
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
        has_messages=True,
        exposed=bool(spans),
    )
    schema = schemas.get(run.suite)
    flags = sorted(talk.flags.union(run_labels.flags, _run_flags(run, talk, schema, tellable)))
    messages = checked_json(talk.messages)
    role = "complete" if talk.answered else "skeleton"
    identity = trace_id(DATASET, role, orjson.Fragment(messages))
    model, family, defense = split_pipeline(run.pipeline)
    split = assign(f"{run.suite}/{run.user_task}")
    trace = {
        "id": identity,
        "completeness": role,
        "tier": "B2" if talk.answered else "B1",
        "split": split,
        "source": {
            "dataset": DATASET,
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
            "mixture": {"class_id": run_labels.class_id, "stage_tags": []},
        },
        "links": {"raw_id": run.raw_id},
        "signal_hints": _hints(run, talk, spans, flags, messages),
        "raw_metadata": {"source_fields": orjson.Fragment(checked_json(run.source_fields))},
    }
    if run.injection_task:
        trace["tool_attack"] = {
            "attack_vector": "tool_result",
            "injection_text": _span_text(talk, spans),
        }
    if schema is not None:
        trace["raw_metadata"]["tool_schema_ref"] = schema.ref
    entry = Entry(
        id=identity,
        verdict=run_labels.labels["category"],
        rank=RANK[run_labels.class_id],
        alias=None,
        facts=_facts(run.pipeline or "unknown", run_labels, split, role, tuple(flags)),
    )
    return dumps(trace), entry


def _run_flags(run: Run, talk: Conversation, schema: ToolSchema | None, tellable: bool) -> set[str]:
    """Flags of a run that neither its messages nor its labels show."""
    flags = set()
    if not tellable:
        flags.add("exposure_cannot_be_told")
    if not talk.answered:
        flags.add("no_assistant_turn")
    if run.user_task.startswith("injection_task"):
        flags.add("injection_task_as_user_task")
    if schema is not None and not talk.called.issubset(schema.names):
        flags.add("call_to_unknown_tool")
    return flags


def _facts(
    pipeline: str, labels: RunLabels, split: str, role: str, flags: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """What the stats count over the traces that were kept."""
    facts = [
        ("classes", labels.class_id),
        ("splits", split),
        ("completeness", role),
        ("traces_by_pipeline", pipeline),
    ]
    if labels.labels["attack_present"]:
        facts.append(("attack_present_by_pipeline", pipeline))
    if labels.labels["attack_succeeded"]:
        facts.append(("attack_succeeded_by_pipeline", pipeline))
    facts += [("record_flags", flag) for flag in flags]
    return tuple(facts)


def _hints(
    run: Run, talk: Conversation, spans: list[Span], flags: list[str], canonical: bytes
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


def _span_text(talk: Conversation, spans: list[Span]) -> str | None:
    """The injection as the model first saw it, None if it never did."""
    if not spans:
        return None
    first = spans[0]
    return talk.messages[first.message_index]["content"][first.start : first.end]
