"""Arguments written as bare text have the type that the tool's schema gives, or none."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.call_formats.base import Fault
from cbdata.call_formats.literals import JSON, PYTHON
from cbdata.call_formats.typed_values import typed_value
from cbdata.tools import ToolSchema


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        ("query", "2024", "2024"),
        ("query", "tides", "tides"),
        ("unknown", "tides", "tides"),
        ("unknown", "tides 2024", "tides 2024"),
        ("unknown", "2024", None),
        ("unknown", '{"a": 1}', None),
        ("unknown", '"tides"', None),
        ("unknown", "True", None),
    ],
)
def test_what_the_schema_does_not_know_is_text_only_where_it_can_be_nothing_else(
    b4_tools: ToolSchema, parameter: str, text: str, value: Any
) -> None:
    found = typed_value(text, 7, b4_tools, "search_web", parameter)
    assert (None if isinstance(found, Fault) else found[0]) == value
    assert not isinstance(found, Fault) or found.at == 7


def test_python_where_the_notation_has_it(b4_tools: ToolSchema) -> None:
    words = ("['name', None]", 0, b4_tools, "get_user_info", "fields")
    assert isinstance(typed_value(*words), Fault)
    assert typed_value(*words, (JSON, PYTHON)) == (["name", None],)
