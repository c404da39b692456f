"""Fujitsu B4 records (queries with an attack that aims at another tool) to trace_v1 skeletons.

Source: Fujitsu/agentic-rag-redteam-bench, ``orchestrator_attacks_combined_deduplicated.jsonl``, CC
BY 4.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from cbdata.ids import trace_id
from cbdata.jsonl import dumps
from cbdata.progress import Progress
from cbdata.rejects import Reasons, Reject
from cbdata.sources import INGEST_VERSION, SourceError, shown
from cbdata.sources.options import DEFAULTS, SPLIT_CONFLICT, LoadOptions
from cbdata.sources.query_attack import locate_attack
from cbdata.sources.raw_lines import checked_json, parse_object
from cbdata.sources.raw_records import read_records
from cbdata.sources.reasons import READING
from cbdata.sources.split_keys import injection_key, task_key, text_key
from cbdata.sources.splits import Split, SplitAssigner
from cbdata.sources.spool import Entry, collecting
from cbdata.stage import StageFiles
from cbdata.tools import ToolSchema, load_tool_schema
from cbdata.traces.content_flags import message_flags

DATASET = "fujitsu_b4"
CLASS_ID = "fujitsu_b4/skeleton"

REASONS: Reasons = {
    **READING,
    "no_attack": "combined_query adds nothing to benign_query",
    "unknown_tools": "the tool schema has neither of the record's two tools",
}

FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "attack_id": (str, int),
    "category": (str,),
    "subtype": (str,),
    "benign_query": (str,),
    "malicious_injection": (str,),
    "combined_query": (str,),
    "expected_tool": (str,),
    "simulated_tool": (str,),
    "success": (bool, int, float, str),
    "judge_note": (str,),
    "models_used": (dict,),
    "script_version": (str, int, float),
    "record_id": (str, int),
    "timestamp": (str, int, float),
}
"""The 14 fields of a record and what each may hold besides null."""

REQUIRED = ("benign_query", "combined_query", "expected_tool", "simulated_tool")

_TRUE = frozenset({"true", "yes", "y", "1", "success", "successful", "succeeded", "unsafe"})
_FALSE = frozenset({"false", "no", "n", "0", "failure", "failed", "unsuccessful", "safe"})


def parse_success(value: Any) -> bool | None:
    """Whether the attack worked in the source's own simulation; None where the value does not say
    so.

    Whole words only: "unsafe" (the attack worked) is no kind of "safe", "unsuccessful" none of
    "success".
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return {0.0: False, 1.0: True}.get(value)
    word = value.strip().casefold() if isinstance(value, str) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def convert(
    raw: Sequence[str | Path],
    *,
    tool_schemas: Sequence[str | Path],
    split: Split,
    outputs: StageFiles,
    max_reject_fraction: float,
    options: LoadOptions = DEFAULTS,
) -> None:
    """Convert records to skeletons; write traces, rejects and stats, published together.

    A skeleton is the tool schema's system prompt and ``combined_query`` as it is. Records with the
    same query and the same tools become one, whose ``links.duplicates`` names the others. The same
    query with other tools rejects all of them (``conflicting_labels``).

    Args:
        raw: The one file of the records.
        tool_schemas: The one tool schema of the skeletons, with a system prompt.
        split: A split's name, or names with fractions that add up to 1. Fractions go by the benign
            query without case, punctuation and spacing, or by the injection likewise.
        outputs: Where traces, rejects and stats go.
        max_reject_fraction: The largest part of the records, 0 to 1, that may be rejected.
        options: What takes part.

    Raises:
        SourceError: No run can use the input.
        TooManyRejects: More was rejected than is allowed.
    """
    raw_path = Path(_only(raw, "raw file"))
    tool_schema = load_tool_schema(_only(tool_schemas, "tool schema"))
    if not tool_schema.system_prompt:
        raise SourceError(
            f"{tool_schema.path}: expected a system_prompt, it has none. Hint: B4 skeletons begin"
            " with it; see configs/tool_schemas"
        )
    assign = SplitAssigner(split, options.split_by)
    progress = Progress("fujitsu_b4 records", files=[raw_path])
    blank = 0
    with collecting("fujitsu_b4_skeletons", REASONS, outputs, options, max_reject_fraction) as (
        writer,
        spool,
    ):
        for line in read_records(raw_path):
            if not line.data and line.problem is None:
                blank += 1
                continue
            writer.take()
            record: dict[str, Any] = {}
            try:
                record = parse_object(line)
                spool.add(*_skeleton(record, raw_path.name, line.number, tool_schema, assign))
            except Reject as problem:
                writer.reject(
                    problem,
                    file=raw_path.name,
                    line=line.number,
                    record_id=_record_id(record),
                    raw=line.data,
                )
            progress.add()
        writer.details = {
            "blank_lines": blank,
            **spool.settle(writer, alias_flag="record_id_repeated"),
            "label_conflicts": spool.conflicts,
        }
    progress.finish(f"{writer.records_out} kept")


def _only(files: Sequence[str | Path], what: str) -> str | Path:
    """The one file of a list."""
    if len(files) != 1:
        raise SourceError(
            f"fujitsu_b4: expected one {what}, got {len(files)}: {', '.join(map(str, files))}."
            " Hint: put the records into one file"
        )
    return files[0]


def _record_id(record: dict[str, Any]) -> str | None:
    value = record.get("record_id")
    return str(value) if type(value) in (str, int) and value != "" else None


def _checked(record: dict[str, Any]) -> dict[str, str]:
    """The text fields, null as "". Raises Reject for a field that is missing or of another
    type.
    """
    for key, kinds in FIELD_TYPES.items():
        value = record.get(key)
        if value is not None and type(value) not in kinds:
            raise Reject(
                "wrong_type",
                f"{key}: expected {' or '.join(kind.__name__ for kind in kinds)} or null, got"
                f" {shown(value)}",
            )
    for key in REQUIRED:
        value = record.get(key)
        if not value or not value.strip():
            raise Reject("missing_field", f"{key}: expected text, got {shown(value)}")
    return {key: record.get(key) or "" for key, kinds in FIELD_TYPES.items() if kinds == (str,)}


def _skeleton(
    record: dict[str, Any],
    file: str,
    line: int | None,
    tool_schema: ToolSchema,
    assign: SplitAssigner,
) -> tuple[bytes, Entry]:
    """The skeleton of a record as a line, and what decides about it among its copies. Raises
    Reject.
    """
    fields = _checked(record)
    expected, simulated = fields["expected_tool"], fields["simulated_tool"]
    attack = locate_attack(
        fields["benign_query"], fields["malicious_injection"], fields["combined_query"]
    )
    flags = attack.flags + _tool_flags(expected, simulated, tool_schema)
    success = parse_success(record.get("success"))
    if success is not True:
        flags.append("success_not_stated" if success is None else "success_false")
    if not record.keys() <= FIELD_TYPES.keys():
        flags.append("unknown_field")
    contents: list[dict[str, Any]] = [
        {"role": "system", "content": tool_schema.system_prompt},
        {"role": "user", "content": fields["combined_query"]},
    ]
    messages = checked_json(contents)
    identity = trace_id(DATASET, "skeleton", orjson.Fragment(messages))
    record_id = _record_id(record)
    place, text = attack.spans[0] if attack.spans else None, fields["combined_query"]
    injection = text[place[0] : place[1]] if place else fields["malicious_injection"] or None
    rows = [
        {"message_index": 1, "char_start": start, "char_end": end} for start, end in attack.spans
    ]
    rest = task_key(contents, rows) if rows else text_key(fields["benign_query"])
    split = assign.of(rest or "", injection_key(injection or text))
    hints: dict[str, Any] = {
        "injection_char_span": rows[0] if rows else None,
        "raw_format": "fujitsu_b4",
    }
    if len(rows) > 1:
        hints["injection_char_spans"] = rows
    content_flags = message_flags(contents[1:], messages)
    if content_flags:
        hints["content_flags"] = [
            {**row, "message_index": row["message_index"] + 1} for row in content_flags
        ]
    if flags:
        hints["record_flags"] = flags
    source_fields = {**record, "success": success}
    if record.get("success") is not success:
        source_fields["success_as_written"] = record.get("success")
    trace = {
        "id": identity,
        "completeness": "skeleton",
        "tier": "B1",
        "split": split or SPLIT_CONFLICT,
        "source": {
            "dataset": DATASET,
            "subset": fields["category"] or None,
            "file": file,
            "record_locator": (
                {"kind": "file", "value": file} if line is None else {"kind": "line", "value": line}
            ),
            "ingest_version": INGEST_VERSION,
            "model_id": None,
            "model_family": None,
            "defense": None,
        },
        "task": {
            "family": "tool_flip",
            "name": fields["category"] or None,
            "variant": fields["subtype"] or None,
        },
        "messages": orjson.Fragment(messages),
        "labels": {
            "category": "benign",
            "attack_present": True,
            "attack_succeeded": False,
            "exposed": True,
            "security_outcome": "unknown",
            "attack_type": fields["category"] or None,
            "capability_category": fields["subtype"] or None,
        },
        "tool_attack": {
            "expected_tool": expected,
            "simulated_tool": simulated,
            "attack_vector": "user_message",
            "injection_text": injection,
        },
        "training": {
            "sample_weight": 1.0,
            "mixture": {"class_id": CLASS_ID, "stage_tags": []},
        },
        "links": {"raw_id": record_id},
        "signal_hints": hints,
        "raw_metadata": {
            "source_fields": orjson.Fragment(checked_json(source_fields)),
            "tool_schema_ref": tool_schema.ref,
        },
    }
    entry = Entry(
        id=identity,
        verdict=f"{expected} -> {simulated}",
        rank=0,
        alias=record_id,
        facts=(
            ("splits", split or SPLIT_CONFLICT),
            ("tool_flips", _flip(expected, simulated, tool_schema)),
            *(("record_flags", flag) for flag in flags),
        ),
        class_id=CLASS_ID,
        omitted=None if split else SPLIT_CONFLICT,
    )
    return dumps(trace), entry


def _flip(expected: str, simulated: str, tool_schema: ToolSchema) -> str:
    """What the stats call a pair of tools; names outside the tool schema share one word, so that
    raw data cannot fill the stats.
    """
    return " -> ".join(
        name if name in tool_schema.names else "(unknown)" for name in (expected, simulated)
    )


def _tool_flags(expected: str, simulated: str, tool_schema: ToolSchema) -> list[str]:
    """Flags of the two tools. Raises Reject if the tool schema has neither: then no completion
    can be asked for.
    """
    unknown = [name for name in (expected, simulated) if name not in tool_schema.names]
    if len(unknown) == 2:
        raise Reject(
            "unknown_tools",
            f"{expected!a} and {simulated!a}: expected tools of {tool_schema.version}:"
            f" {', '.join(tool_schema.names)}",
        )
    flags = ["equal_tools"] if expected == simulated else []
    if expected not in tool_schema.names:
        flags.append("unknown_expected_tool")
    if simulated not in tool_schema.names:
        flags.append("unknown_simulated_tool")
    return flags
