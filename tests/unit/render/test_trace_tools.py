"""Which tools are in a trace's render: its own or those that it names, never another source's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from cbdata.records import Trace
from cbdata.rejects import Reject
from cbdata.render.trace_tools import TraceTools
from cbdata.tools import load_tool_schema
from tests.schemas import own_tool, schema_file


def trace(ref: dict[str, str] | None = None, *, filled: bool = False, **fields: Any) -> Trace:
    metadata: dict[str, Any] = {"generation": {}} if filled else {}
    if ref is not None:
        metadata["tool_schema_ref"] = ref
    return cast(Trace, {"raw_metadata": metadata, **fields})


@pytest.mark.parametrize(("included", "shown"), [(False, False), (True, True), (None, True)])
def test_tools_that_a_trace_has_or_names_are_shown_unless_they_are_not_wanted(
    tmp_path: Path, included: bool | None, shown: bool
) -> None:
    schema = load_tool_schema(schema_file(tmp_path, "a_v1"))
    tools = TraceTools([tmp_path], None, included)
    assert tools.of(trace(dict(schema.ref), filled=True)) == (schema, True)
    assert tools.of(trace(dict(schema.ref))) == (schema, shown)
    found, included_here = tools.of(trace(tools=[own_tool("mine")]))
    assert found is not None and found.names == ("mine",) and included_here is shown
    found, included_here = tools.of(trace(tools=[own_tool("mine")], filled=True))
    assert found is not None and found.names == ("mine",) and included_here


def test_a_trace_without_tools_never_gets_the_configured_ones(tmp_path: Path) -> None:
    configured = schema_file(tmp_path, "a_v1")
    schema = load_tool_schema(configured)
    for included in (None, False):
        assert TraceTools([], configured, included).of(trace()) == (None, False)
    with pytest.raises(Reject) as caught:
        TraceTools([], configured, True).of(trace())
    assert caught.value.reason == "tool_schema_unknown"
    assert TraceTools([], configured, None).of(trace(dict(schema.ref))) == (schema, True)


def test_a_completed_trace_that_does_not_say_its_tools_is_a_reject(tmp_path: Path) -> None:
    with pytest.raises(Reject) as caught:
        TraceTools([], schema_file(tmp_path, "a_v1"), None).of(trace(filled=True))
    assert caught.value.reason == "tool_schema_unknown"
