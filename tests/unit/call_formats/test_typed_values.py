"""A value written as bare text is read by the type that the tool's schema gives."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.call_formats.base import Fault
from cbdata.call_formats.literals import JSON, PYTHON
from cbdata.call_formats.typed_values import typed_value
from cbdata.tools import ToolSchema

PROPERTIES: dict[str, Any] = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "either": {"type": ["string", "integer"]},
    "list": {"type": "array"},
    "untyped": {"description": "anything"},
}
TOOLS = ToolSchema(
    "v",
    ({"type": "function", "function": {"name": "t", "parameters": {"properties": PROPERTIES}}},),
    None,
    "0",
    "tools.json",
)


def read(text: str, parameter: str, tool: str = "t", **options: Any) -> Any:
    return typed_value(text, 0, TOOLS, tool, parameter, **options)


@pytest.mark.parametrize(
    ("text", "parameter", "value"),
    [
        ("2024", "text", "2024"),
        ("2024", "count", 2024),
        ("tides", "either", "tides"),
        ('["a"]', "list", ["a"]),
        ("tides", "untyped", "tides"),
        ("tides", "unheard_of", "tides"),
    ],
)
def test_the_schema_says_the_type(text: str, parameter: str, value: Any) -> None:
    assert read(text, parameter) == (value,)


@pytest.mark.parametrize("parameter", ["either", "untyped", "unheard_of"])
@pytest.mark.parametrize("text", ["2024", " 2024 "])
def test_what_could_be_both_is_neither(parameter: str, text: str) -> None:
    assert isinstance(read(text, parameter), Fault)


@pytest.mark.parametrize("text", ['{"a": 1}', "[1]", "true", "None", '"tides"'])
def test_without_a_type_no_other_value_is_taken_for_text(text: str) -> None:
    assert isinstance(read(text, "untyped"), Fault)


def test_of_an_unknown_tool_all_is_text() -> None:
    assert read("2024", "count", tool="unheard_of") == ("2024",)
    assert typed_value("2024", 0, None, "t", "count") == ("2024",)


def test_python_where_the_notation_has_it() -> None:
    assert isinstance(read("['a', None]", "list"), Fault)
    assert read("['a', None]", "list", dialects=(JSON, PYTHON)) == (["a", None],)
