"""Conversations with tools, as chat models are trained on them, to benign traces: the retain data
that defences lack most, because what they damage first is the harmless use of tools.

Two forms are read, a record each: the OpenAI form ``{"messages": [{"role", "content", "tool_calls",
"tool_call_id"}], "tools": [...]}``, and ShareGPT's ``{"conversations": [{"from", "value"}],
"system": ..., "tools": ...}`` with calls as turns of their own (``function_call``) or as
``<tool_call>`` blocks in an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from cbdata.ids import digest, trace_id
from cbdata.jsonl import dumps
from cbdata.progress import Progress
from cbdata.rejects import Reasons, Reject
from cbdata.sources import INGEST_VERSION, shown
from cbdata.sources.agentdojo_messages import MESSAGE_REASONS, normalise
from cbdata.sources.files import input_files, source_names
from cbdata.sources.options import DEFAULTS, LoadOptions
from cbdata.sources.raw_lines import checked_json, parse_object
from cbdata.sources.raw_records import read_records
from cbdata.sources.reasons import READING
from cbdata.sources.sharegpt import REASONS as SHAREGPT
from cbdata.sources.sharegpt import openai_messages
from cbdata.sources.split_keys import task_key
from cbdata.sources.splits import Split, SplitAssigner
from cbdata.sources.spool import Entry, collecting
from cbdata.sources.tool_lists import REASONS as TOOL_LISTS
from cbdata.sources.tool_lists import read_tools, tools_json
from cbdata.stage import StageFiles
from cbdata.traces.content_flags import message_flags

DATASET = "conversations"

REASONS: Reasons = {
    **READING,
    **MESSAGE_REASONS,
    **SHAREGPT,
    **TOOL_LISTS,
    "missing_messages": "the record has no list of messages",
    "empty_transcript": "the list of messages is empty",
    "no_answer": "the model says nothing in the conversation",
    "no_question": "the conversation has no user message",
}


def convert(
    raw: Sequence[str | Path],
    *,
    tool_schemas: Sequence[str | Path],
    split: Split,
    outputs: StageFiles,
    max_reject_fraction: float,
    options: LoadOptions = DEFAULTS,
) -> None:
    """Convert conversations to traces; write traces, rejects and stats, published together.

    All of them are benign and of one class, ``conversations_class``. The same messages with the
    same tools are one trace, whose ``links.duplicates`` names the other records.

    Args:
        raw: Files of records, and folders of files.
        tool_schemas: None: each trace carries its tools.
        split: A split's name, or names with fractions that add up to 1. Fractions go by the first
            user message without case, punctuation and spacing.
        outputs: Where traces, rejects and stats go.
        max_reject_fraction: The largest part of the records, 0 to 1, that may be rejected.
        options: What takes part; ``own`` has ``conversations_class``.

    Raises:
        SourceError: No run can use the input.
        TooManyRejects: More was rejected than is allowed.
    """
    files = source_names(input_files(raw, "conversations_path"))
    assign = SplitAssigner(split, options.split_by)
    class_id = options.own["conversations_class"]
    progress = Progress("conversations", files=[path for _, path in files])
    with collecting("conversations_complete", REASONS, outputs, options, max_reject_fraction) as (
        writer,
        spool,
    ):
        for name, path in files:
            for line in read_records(path):
                if not line.data and line.problem is None:
                    continue
                writer.take()
                try:
                    record = parse_object(line)
                    spool.add(*_trace(record, name, line.number, assign, class_id))
                except Reject as problem:
                    writer.reject(problem, file=name, line=line.number, raw=line.data)
                progress.add()
        writer.details = {"files": len(files), **spool.settle(writer)}
    progress.finish(f"{writer.records_out} kept")


def _trace(
    record: dict[str, Any], file: str, line: int | None, assign: SplitAssigner, class_id: str
) -> tuple[bytes, Entry]:
    """The trace of a record as a line, and what decides about it among its copies. Raises
    Reject.
    """
    tools = read_tools(record.get("tools", record.get("functions")), "tools")
    names = {tool["function"]["name"] for tool in tools}
    raw_messages, form, used = _messages(record)
    talk = normalise(raw_messages)
    if not any(each["role"] == "assistant" and _says(each) for each in talk.messages):
        raise Reject("no_answer", f"{len(talk.messages)} messages, the assistant says nothing")
    question = task_key(talk.messages, [])
    if question is None:
        raise Reject("no_question", f"{len(talk.messages)} messages, none of them by the user")
    flags = set(talk.flags)
    if tools and not talk.called <= names:
        flags.add("call_to_unknown_tool")
    if talk.called and not tools:
        flags.add("calls_without_tools")
    messages = checked_json(talk.messages)
    offered = orjson.Fragment(tools_json(tools)) if tools else None
    identity = trace_id(
        DATASET, "complete", orjson.Fragment(messages), salt=digest(tools) if tools else None
    )
    split = assign.of(question, None)
    hints: dict[str, Any] = {"injection_char_span": None, "raw_format": form}
    if contents := message_flags(talk.messages, messages):
        hints["content_flags"] = contents
    if flags:
        hints["record_flags"] = sorted(flags)
    raw_id = record.get("id")
    others = {key: value for key, value in record.items() if key not in used}
    trace: dict[str, Any] = {
        "id": identity,
        "completeness": "complete",
        "tier": "B2",
        "split": split,
        "source": {
            "dataset": DATASET,
            "subset": None,
            "file": file,
            "record_locator": {"kind": "line", "value": line or 1},
            "ingest_version": INGEST_VERSION,
            "model_id": None,
            "model_family": None,
            "defense": None,
        },
        "task": {"family": "conversation", "name": None, "variant": None},
        "messages": orjson.Fragment(messages),
        "labels": {
            "category": "benign",
            "attack_present": False,
            "attack_succeeded": False,
            "exposed": False,
            "security_outcome": "safe",
            "attack_type": None,
        },
        "training": {"sample_weight": 1.0, "mixture": {"class_id": class_id, "stage_tags": []}},
        "links": {"raw_id": str(raw_id) if isinstance(raw_id, (str, int)) else None},
        "signal_hints": hints,
        "raw_metadata": {
            "source_fields": orjson.Fragment(checked_json(talk.source_fields(others)))
        },
    }
    if offered is not None:
        trace["tools"] = offered
    entry = Entry(
        id=identity,
        verdict="benign",
        rank=0,
        alias=None,
        facts=(
            ("classes", class_id),
            ("splits", trace["split"]),
            ("forms", form),
            *(("record_flags", flag) for flag in sorted(flags)),
        ),
        class_id=class_id,
    )
    return dumps(trace), entry


def _says(message: dict[str, Any]) -> bool:
    """Whether a turn of the assistant has text or a call."""
    return bool(message["content"].strip() or message.get("tool_calls"))


def _messages(record: dict[str, Any]) -> tuple[list[Any], str, frozenset[str]]:
    """The messages of a record in the OpenAI form, the form that they had, and the record's fields
    that they and the tools were made of.
    """
    given = [key for key in ("messages", "conversations", "conversation") if key in record]
    if len(given) != 1:
        raise Reject(
            "missing_messages",
            f"expected a list called messages or conversations, got {shown(sorted(record))}",
        )
    (key,) = given
    rows = record[key]
    if not isinstance(rows, list):
        raise Reject("missing_messages", f"{key}: expected a list, got {shown(rows)}")
    if not rows:
        raise Reject("empty_transcript", f"{key}: the list is empty")
    used = frozenset({key, "tools", "functions"})
    if isinstance(rows[0], dict) and "from" in rows[0]:
        return openai_messages(rows, record.get("system")), "sharegpt", used | {"system"}
    return rows, "openai", used
