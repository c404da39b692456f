"""Which tool schema belongs to a trace, and whether its tools are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from cbdata.records import Trace
from cbdata.rejects import Reject
from cbdata.render.trace_tools import TraceTools
from cbdata.tools import load_tool_schema


def schema_file(folder: Path, version: str) -> Path:
    function = {"name": f"tool_of_{version}", "description": "", "parameters": {"type": "object"}}
    path = folder / f"{version}.json"
    path.write_bytes(
        orjson.dumps({"version": version, "tools": [{"type": "function", "function": function}]})
    )
    return path


def trace(ref: dict[str, str] | None = None, *, filled: bool = False) -> Trace:
    metadata: dict[str, Any] = {"generation": {}} if filled else {}
    if ref is not None:
        metadata["tool_schema_ref"] = ref
    return cast(Trace, {"raw_metadata": metadata})


@pytest.mark.parametrize("included", [False, True])
def test_a_completed_trace_shows_its_tools_and_others_do_if_asked(
    tmp_path: Path, included: bool
) -> None:
    schema = load_tool_schema(schema_file(tmp_path, "a_v1"))
    tools = TraceTools(tmp_path, None, included)
    assert tools.of(trace(dict(schema.ref), filled=True)) == (schema, True)
    assert tools.of(trace(dict(schema.ref))) == (schema, included)


def test_the_configured_schema_serves_traces_that_name_none(tmp_path: Path) -> None:
    configured = schema_file(tmp_path, "a_v1")
    schema = load_tool_schema(configured)
    assert TraceTools(None, configured, True).of(trace()) == (schema, True)
    assert TraceTools(None, configured, False).of(trace()) == (None, False)
    assert TraceTools(None, configured, False).of(trace(dict(schema.ref))) == (schema, False)


@pytest.mark.parametrize(
    ("ref", "filled", "reason"),
    [
        (None, True, "tool_schema_unknown"),
        (None, False, "tool_schema_unknown"),
        ({"version": "b_v1", "digest": "0"}, False, "tool_schema_missing"),
        ({"version": "../a_v1", "digest": "0"}, False, "tool_schema_missing"),
        ({"version": "a_v1", "digest": "0"}, False, "tool_schema_changed"),
    ],
)
def test_a_schema_that_is_not_known_for_sure_is_a_reject(
    tmp_path: Path, ref: dict[str, str] | None, filled: bool, reason: str
) -> None:
    folder = tmp_path / "schemas"
    folder.mkdir()
    schema_file(folder, "a_v1")
    schema_file(tmp_path, "a_v1")
    with pytest.raises(Reject) as caught:
        TraceTools(folder, None, True).of(trace(ref, filled=filled))
    assert caught.value.reason == reason
