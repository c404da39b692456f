"""What every call format prints it reads back, exactly and with nothing left over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbdata.call_formats.completion import Completion
from cbdata.call_formats.reasoning import NOTATIONS, THINK
from cbdata.call_formats.registry import FORMATS
from cbdata.ids import canonical_json
from cbdata.tools import ToolSchema

SCHEMA: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "share": {"type": "number"},
    "on": {"type": "boolean"},
    "items": {"type": "array"},
    "more": {"type": "object"},
    "nothing": {"type": "null"},
}
TOOLS = ToolSchema(
    "v",
    tuple(
        {
            "type": "function",
            "function": {
                "name": name,
                "parameters": {"type": "object", "properties": SCHEMA},
            },
        }
        for name in ("first_tool", "second_tool")
    ),
    None,
    "0",
    "tools.json",
)
# No format's marker can stand in these texts: "<" and "[" are the beginnings of all of them.
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="<["))
numbers = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**63), 2**64 - 1)
values = st.recursive(
    st.none() | st.booleans() | whole | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
arguments = st.fixed_dictionaries(
    {},
    optional={
        "text": texts.filter(lambda text: not text.startswith("\n") and not text.endswith("\n")),
        "count": whole,
        "share": numbers,
        "on": st.booleans(),
        "items": st.lists(values, max_size=2),
        "more": st.dictionaries(texts, values, max_size=2),
        "nothing": st.none(),
    },
)
calls = st.lists(
    st.tuples(st.sampled_from(["first_tool", "second_tool"]), arguments), min_size=1, max_size=3
)


@pytest.mark.parametrize("name", sorted(FORMATS))
@settings(deadline=None, max_examples=60)
@given(wanted=calls, thinking=st.booleans())
def test_what_a_format_prints_it_reads_back(name: str, wanted: Any, thinking: bool) -> None:
    call_format = FORMATS[name]
    text = call_format.write(wanted)
    if thinking and THINK in call_format.reasoning:
        text = f"<think>\nWhich one?\n</think>\n\n{text}"
    view, end = Completion.spelled(text).view(call_format)
    assert end is None
    reading = call_format.read(view, TOOLS)
    assert reading.fault is None
    found = [(call.name, call.arguments) for call in reading.calls]
    assert canonical_json(found) == canonical_json(wanted)
    assert reading.prose == ()
    place = 0
    for call in reading.calls:
        assert place <= call.start <= call.name_start < call.name_end <= call.end <= len(text)
        assert text[call.name_start : call.name_end] == call.name
        assert text[call.raw_start :].startswith(call.raw)
        assert call.start <= call.raw_start and call.raw_start + len(call.raw) <= call.end
        place = call.end
    assert [text[each.text_start : each.text_end] for each in reading.thinking] == (
        ["\nWhich one?\n"] if thinking and THINK in call_format.reasoning else []
    )


def test_every_format_is_registered_under_its_name() -> None:
    assert all(FORMATS[name].name == name for name in FORMATS)


def test_every_notation_for_reasoning_is_known_to_the_renderer() -> None:
    own = {notation for each in FORMATS.values() for notation in each.reasoning}
    assert own <= set(NOTATIONS)
