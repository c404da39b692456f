"""Evaluation cuts: conversations up to the point where a model would call a tool, with the calls
that are right there and those that are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from cbdata.decision_points.clean_runs import calls_of, expected_call
from cbdata.disk_table import DiskTable
from cbdata.export import ExportFiles
from cbdata.export.jsonl_folder import JsonlFolder
from cbdata.ids import digest
from cbdata.json_file import write_json
from cbdata.lookup import read_places
from cbdata.records import CallPattern
from cbdata.rejects import Reject
from cbdata.render.trace_schemas import TraceSchemas
from cbdata.tools import load_tool_schema


def write(
    files: ExportFiles, outputs: Mapping[str, Path], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the outputs ``rows``, a file a split, and ``counts``; return the counts.

    Args:
        files: Traces of the run, and the skeletons that it completes.
        outputs: The folder ``rows`` and the file ``counts``.
        options: ``tool_schema``, the configured schema's file or None, and ``tool_schema_dirs``,
            where further schemas lie.

    Raises:
        ToolSchemaError: A tool schema file cannot be used.
    """
    configured = options["tool_schema"]
    schemas = TraceSchemas(
        options["tool_schema_dirs"], load_tool_schema(configured) if configured else None
    )
    written: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    others = _other_right_calls(files, schemas)
    seen = DiskTable()
    with JsonlFolder(outputs["rows"]) as folder:
        for split, cut in _cuts(files, schemas):
            if isinstance(cut, str):
                left_out[cut] += 1
                continue
            content = _content(cut)
            if not seen.add(content):
                left_out["duplicate"] += 1
                continue
            wrong = cut["forbidden_calls"]  # what another set calls right may be an attack in this
            further = [
                way for way in _stored(others, content) if not any(call in wrong for call in way)
            ]
            if cut["expected_calls"] is None and further:
                cut["expected_calls"], *further = further
            folder.add(split, cut | {"other_expected_calls": further})
            written[cut["kind"]] += 1
    counts = {
        "written": dict(sorted(written.items())),
        "left_out": dict(sorted(left_out.items())),
    }
    write_json(outputs["counts"], counts)
    return counts


def _cuts(files: ExportFiles, schemas: TraceSchemas) -> Iterator[tuple[str, dict[str, Any] | str]]:
    for path in (*files.skeletons, *files.traces):
        for _, trace in read_places(path):
            yield trace["split"], evaluation_cut(trace, schemas)


def _content(cut: Mapping[str, Any]) -> str:
    return digest([cut["messages"], cut["tools"]])


def _stored(others: DiskTable, content: str) -> list[Any]:
    found = others.get(content)
    return [] if found is None else list(orjson.loads(found[0]))


def _other_right_calls(files: ExportFiles, schemas: TraceSchemas) -> DiskTable:
    """The right calls of later cuts of a conversation that the first does not have.

    Two clean runs may go on from one conversation in two right ways, and a model that takes either
    must not be counted as wrong.
    """
    first, others = DiskTable(("calls",)), DiskTable(("calls",))
    for _, cut in _cuts(files, schemas):
        if isinstance(cut, str):
            continue
        content, expected = _content(cut), cut["expected_calls"]
        own = digest(expected)
        is_first = first.add(content, own) or first.get(content) == (own,)
        if is_first or expected is None:
            continue
        known = _stored(others, content)
        if expected not in known:
            others.set(content, orjson.dumps([*known, expected]))
    return others


def evaluation_cut(trace: Mapping[str, Any], schemas: TraceSchemas) -> dict[str, Any] | str:
    """The cut of a trace, or the reason why it has none.

    A skeleton is cut where it ends. A whole run without an attack is cut in front of its last turn
    with a call, and that turn's calls are the right ones.

    Args:
        trace: A trace_v1.
        schemas: Where its tools are looked up.

    Returns:
        ``{id, split, kind, messages, tools, expected_calls, forbidden_calls}``. Messages and tools
        are in the OpenAI form. ``expected_calls`` is empty where the right answer makes no call and
        None where nobody knows; a call of ``forbidden_calls`` carries an attack out.

    Raises:
        ToolSchemaError: A tool schema file cannot be used.
    """
    if trace["completeness"] == "skeleton":
        found = _skeleton_cut(trace)
    elif "generation" in trace["raw_metadata"]:
        return "completed_skeleton"  # its skeleton is among the cuts
    else:
        found = _run_cut(trace)
    if isinstance(found, str):
        return found
    kind, end, expected, forbidden = found
    try:
        schema = schemas.of(trace)
    except Reject as why:
        return why.reason
    if schema is None:
        return "no_tools"
    return {
        "id": trace["id"],
        "split": trace["split"],
        "kind": kind,
        "messages": list(openai_messages(trace["messages"][:end])),
        "tools": list(schema.tools),
        "expected_calls": expected,
        "forbidden_calls": forbidden,
    }


_Found = tuple[str, int, list[CallPattern] | None, list[CallPattern]]
"""Kind, number of messages in front of the cut, expected and forbidden calls."""


def _skeleton_cut(trace: Mapping[str, Any]) -> _Found | str:
    attack = trace.get("tool_attack") or {}
    end = len(trace["messages"])
    point = trace.get("decision_point")
    if point is not None:
        return point["kind"], end, attack.get("expected_calls"), attack.get("target_calls", [])
    right, aimed_at = attack.get("expected_tool"), attack.get("simulated_tool")
    if right is None and aimed_at is None:
        return "no_tool_named"
    expected = None if right is None else [_any_call(right)]
    return "tool_flip", end, expected, [] if aimed_at in (None, right) else [_any_call(aimed_at)]


def _run_cut(trace: Mapping[str, Any]) -> _Found | str:
    if trace["labels"]["attack_present"]:
        return "attacked_run"
    fields = trace["raw_metadata"]["source_fields"]
    if fields.get("utility", fields.get("success", True)) is not True:
        return "task_not_solved"
    messages = trace["messages"]
    calling = [index for index, message in enumerate(messages) if message.get("tool_calls")]
    if not calling or calling[-1] == 0:
        return "no_call"
    last = calling[-1]
    return "clean", last, [expected_call(*call) for call in calls_of([messages[last]])], []


def _any_call(tool: str) -> CallPattern:
    return {"tool": tool, "arguments": {}}


def openai_messages(messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Messages of a trace in the form of OpenAI's chat API, arguments as JSON text.

    Args:
        messages: Messages of a trace_v1.
    """
    for message in messages:
        shown = {"role": message["role"], "content": message["content"]}
        if message.get("tool_calls"):
            shown["tool_calls"] = [
                {
                    "id": call["call_id"],
                    "type": "function",
                    "function": {
                        "name": call["function"]["name"],
                        "arguments": orjson.dumps(call["function"]["arguments"]).decode(),
                    },
                }
                for call in message["tool_calls"]
            ]
        if message["role"] == "tool":
            shown |= {
                key: message[key]
                for key in ("tool_call_id", "name")
                if message.get(key) is not None
            }
        yield shown
