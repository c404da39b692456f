"""Calls to write and to read back: two tools with every type of argument, and strategies for calls
of them.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cbdata.call_formats.base import CallFormat, Reading
from cbdata.call_formats.completion import Completion
from cbdata.ids import canonical_json
from cbdata.tools import ToolSchema

Calls = list[tuple[str, dict[str, Any]]]

NAMES = ("first_tool", "second_tool")
PROPERTIES: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "share": {"type": "number"},
    "on": {"type": "boolean"},
    "items": {"type": "array"},
    "more": {"type": "object"},
    "nothing": {"type": "null"},
}


def tools_named(*names: str) -> ToolSchema:
    """Tools that differ in their names only."""
    parameters = {"type": "object", "properties": PROPERTIES}
    functions = [{"name": name, "parameters": parameters} for name in names]
    listed = tuple({"type": "function", "function": function} for function in functions)
    return ToolSchema("v", listed, None, "0", "tools.json")


TOOLS = tools_named(*NAMES)


def calls(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Calls]:
    """One or two calls, with these texts as strings and as keys of objects."""
    whole = st.integers(-(2**63), 2**64 - 1)
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    values = st.recursive(
        st.none() | st.booleans() | whole | numbers | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=5,
    )
    arguments = st.fixed_dictionaries(
        {},
        optional={
            "text": texts,
            "count": whole,
            "share": numbers,
            "on": st.booleans(),
            "items": st.lists(values, max_size=2),
            "more": st.dictionaries(texts, values, max_size=2),
            "nothing": st.none(),
        },
    )
    return st.lists(st.tuples(st.sampled_from(NAMES), arguments), min_size=1, max_size=2)


def read(call_format: CallFormat, text: str, tools: ToolSchema = TOOLS) -> Reading:
    """A text read as spelled."""
    view, _ = Completion.spelled(text).view(call_format)
    return call_format.read(view, tools)


def calls_of(reading: Reading) -> Calls:
    """What was called, without the places."""
    return [(call.name, call.arguments) for call in reading.calls]


def is_whole(reading: Reading) -> bool:
    """Whether nothing is left unexplained."""
    return reading.fault is None and not reading.prose


def same(found: Calls, wanted: Calls) -> bool:
    """Whether calls are equal in every type: 1, 1.0 and True are three values."""
    return canonical_json(found) == canonical_json(wanted)
