"""The tools of a trace: what it carries, or what it names, by version and digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.render.reasons import REASONS
from cbdata.render.trace_schemas import TraceSchemas
from cbdata.tools import load_tool_schema
from tests.schemas import own_tool, schema_file
from tests.unit.held_memory import held_for_each


def naming(version: str, digest: str) -> dict[str, Any]:
    return {"raw_metadata": {"tool_schema_ref": {"version": version, "digest": digest}}}


def reason(schemas: TraceSchemas, trace: dict[str, Any]) -> str:
    with pytest.raises(Reject) as caught:
        schemas.of(trace)
    assert caught.value.reason in REASONS and caught.value.detail
    return caught.value.reason


def test_a_schema_is_found_in_any_folder_by_version_and_digest(tmp_path: Path) -> None:
    first = load_tool_schema(schema_file(tmp_path / "one", "a_v1", "first"))
    second = load_tool_schema(schema_file(tmp_path / "two", "a_v1", "second"))
    schemas = TraceSchemas([tmp_path / "one", tmp_path / "two"])
    assert first.digest != second.digest
    assert schemas.of(naming("a_v1", first.digest)) == first
    assert schemas.of(naming("a_v1", second.digest)) == second
    elsewhere = load_tool_schema(schema_file(tmp_path / "three", "b_v1"))
    assert TraceSchemas([], elsewhere).of(naming("b_v1", elsewhere.digest)) == elsewhere
    assert TraceSchemas([], elsewhere).of({"raw_metadata": {}}) is None


def test_a_schema_that_is_not_known_for_sure_is_a_reject(tmp_path: Path) -> None:
    schema_file(tmp_path / "in", "a_v1")
    schema_file(tmp_path, "out_v1")
    schemas = TraceSchemas([tmp_path / "in"])
    assert reason(schemas, naming("a_v1", "0")) == "tool_schema_changed"
    for version in ("b_v1", "../out_v1", str(tmp_path / "out_v1"), "a\0", "a" * 300, ""):
        assert reason(schemas, naming(version, "0")) == "tool_schema_missing"


def test_versions_that_are_not_there_take_no_memory(tmp_path: Path) -> None:
    schemas = TraceSchemas([tmp_path])

    def ask(number: int) -> None:
        assert reason(schemas, naming(f"v{number}", "0")) == "tool_schema_missing"

    assert held_for_each(schemas, ask, 400) < 1


def test_a_trace_s_own_tools_go_before_any_schema_and_have_a_digest_of_their_own(
    tmp_path: Path,
) -> None:
    schema = load_tool_schema(schema_file(tmp_path, "a_v1"))
    schemas = TraceSchemas([tmp_path])
    found = schemas.of({**naming("a_v1", schema.digest), "tools": [own_tool("x"), own_tool("y")]})
    assert found is not None and found.names == ("x", "y")
    other = schemas.of({"raw_metadata": {}, "tools": [own_tool("x")]})
    assert other is not None and other.digest != found.digest


@pytest.mark.parametrize(
    "tools",
    [
        [],
        "x",
        [own_tool("x"), own_tool("x")],
        [{"type": "function", "function": {"description": "no name"}}],
        [{"type": "function", "function": {"name": "x", "parameters": []}}],
    ],
)
def test_tools_that_cannot_be_used_are_a_reject(tools: Any) -> None:
    assert reason(TraceSchemas([]), {"raw_metadata": {}, "tools": tools}) == "bad_tools"


def test_the_order_of_a_tool_s_keys_is_kept() -> None:
    tool = own_tool("x")
    turned = {"type": "function", "function": dict(reversed(tool["function"].items()))}
    schemas = TraceSchemas([])
    for each in (tool, turned, tool):
        found = schemas.of({"raw_metadata": {}, "tools": [each]})
        assert found is not None
        assert list(found.tools[0]["function"]) == list(each["function"])
