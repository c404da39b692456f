"""Skeletons of one call: the user asks, the model calls a tool, and the tool's result holds the
injection. What the model does next is for the fill stage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from cbdata.ids import digest, trace_id
from cbdata.jsonl import dumps
from cbdata.sources import INGEST_VERSION
from cbdata.sources.options import SPLIT_CONFLICT
from cbdata.sources.raw_lines import checked_json
from cbdata.sources.split_keys import injection_key, task_key
from cbdata.sources.splits import SplitAssigner
from cbdata.sources.spool import Entry
from cbdata.sources.tool_lists import tools_json
from cbdata.traces.content_flags import message_flags

CALL_ID = "call_0"


class Place(NamedTuple):
    """Where a raw record stands: its file and its number in it, from 1."""

    file: str
    number: int


@dataclass(frozen=True, kw_only=True)
class OneCall:
    """What such a skeleton is made of.

    - ``dataset``: the source's name
    - ``before``: the messages before the call
    - ``tool``, ``arguments``: the call
    - ``result``: the tool's text, with the injection in code points ``span``, half-open
    - ``tools``: all that the model is offered
    - ``simulated_tool``: what the attack aims at; ``expected_tool``: the right next call, None
      where the right thing is to answer
    - ``task``, ``attack_type``, ``capability``, ``raw_id``, ``source_fields``: as in trace_v1
    - ``flags``: oddities of the record
    """

    dataset: str
    before: list[dict[str, Any]]
    tool: str
    arguments: dict[str, Any]
    result: str
    span: tuple[int, int]
    tools: list[dict[str, Any]]
    simulated_tool: str
    expected_tool: str | None
    task: dict[str, str | None]
    attack_type: str | None
    capability: str | None
    raw_id: str | None
    source_fields: dict[str, Any]
    flags: list[str] = field(default_factory=list)


def skeleton(case: OneCall, place: Place, assign: SplitAssigner) -> tuple[bytes, Entry]:
    """The skeleton as a line, and what decides about it among its copies.

    Args:
        case: What it is made of.
        place: Where its record stands.
        assign: Says which split it falls into.

    Raises:
        Reject: ``too_deep``.
    """
    call = {"call_id": CALL_ID, "function": {"name": case.tool, "arguments": case.arguments}}
    conversation = [
        *case.before,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": case.result, "tool_call_id": CALL_ID, "name": case.tool},
    ]
    messages = checked_json(conversation)
    tools = tools_json(case.tools)
    salt = digest(case.tools)
    identity = trace_id(case.dataset, "skeleton", orjson.Fragment(messages), salt=salt)
    class_id = f"{case.dataset}/skeleton"
    start, end = case.span
    split = assign.of(task_key(case.before, []) or "", injection_key(case.result[start:end]))
    hints: dict[str, Any] = {
        "injection_char_span": {
            "message_index": len(conversation) - 1,
            "char_start": start,
            "char_end": end,
        },
        "raw_format": case.dataset,
    }
    if contents := message_flags(conversation, messages):
        hints["content_flags"] = contents
    if case.flags:
        hints["record_flags"] = case.flags
    trace = {
        "id": identity,
        "completeness": "skeleton",
        "tier": "B1",
        "split": split or SPLIT_CONFLICT,
        "source": {
            "dataset": case.dataset,
            "subset": case.task["family"],
            "file": place.file,
            "record_locator": {"kind": "line", "value": place.number},
            "ingest_version": INGEST_VERSION,
            "model_id": None,
            "model_family": None,
            "defense": None,
        },
        "task": case.task,
        "messages": orjson.Fragment(messages),
        "tools": orjson.Fragment(tools),
        "labels": {
            "category": "benign",
            "attack_present": True,
            "attack_succeeded": False,
            "exposed": True,
            "security_outcome": "unknown",
            "attack_type": case.attack_type,
            "capability_category": case.capability,
        },
        "tool_attack": {
            "expected_tool": case.expected_tool,
            "simulated_tool": case.simulated_tool,
            "attack_vector": "tool_result",
            "injection_text": case.result[start:end],
        },
        "training": {"sample_weight": 1.0, "mixture": {"class_id": class_id, "stage_tags": []}},
        "links": {"raw_id": case.raw_id},
        "signal_hints": hints,
        "raw_metadata": {"source_fields": orjson.Fragment(checked_json(case.source_fields))},
    }
    entry = Entry(
        id=identity,
        verdict=f"{case.expected_tool} -> {case.simulated_tool}",
        rank=0,
        alias=None,
        facts=(
            ("splits", split or SPLIT_CONFLICT),
            ("tasks", "/".join(filter(None, (case.task["family"], case.task["variant"])))),
            *(("record_flags", flag) for flag in case.flags),
        ),
        class_id=class_id,
        omitted=None if split else SPLIT_CONFLICT,
    )
    return dumps(trace), entry
