"""What every call format prints it reads back, exactly and with nothing left over."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbdata.call_formats.reasoning import NOTATIONS, THINK
from cbdata.call_formats.registry import CALL_MARKERS, FORMATS
from tests.unit.call_formats.given_calls import (
    Calls,
    calls,
    calls_of,
    is_whole,
    read,
    same,
    tools_named,
)

# No format's marker can stand in these texts: each holds one of these characters.
OF_MARKERS = "<[`\uff5c"
plain = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters=OF_MARKERS))


@settings(max_examples=150)
@given(wanted=calls(plain), thinking=st.booleans())
def test_what_a_format_prints_it_reads_back(wanted: Calls, thinking: bool) -> None:
    for name, call_format in FORMATS.items():
        text = call_format.write(wanted)
        thinks = thinking and THINK in call_format.reasoning
        if thinks:
            text = f"<think>\nWhich one?\n</think>\n\n{text}"
        reading = read(call_format, text)
        assert is_whole(reading) and same(calls_of(reading), wanted), name
        place = 0
        for call in reading.calls:
            assert place <= call.start <= call.name_start < call.name_end <= call.end <= len(text)
            assert text[call.name_start : call.name_end] == call.name
            assert text[call.raw_start :].startswith(call.raw)
            assert call.start <= call.raw_start and call.raw_start + len(call.raw) <= call.end
            place = call.end
        thoughts = [text[each.text_start : each.text_end] for each in reading.thinking]
        assert thoughts == (["\nWhich one?\n"] if thinks else []), name


@pytest.mark.parametrize("tool", ["b.c", "b-2", "B2", "b.c-2_d"])
def test_names_with_dots_and_dashes(tool: str) -> None:
    wanted: Calls = [(tool, {"text": "a"})]
    for name, call_format in FORMATS.items():
        reading = read(call_format, call_format.write(wanted), tools_named(tool))
        assert is_whole(reading) and calls_of(reading) == wanted, name


def test_no_plain_text_holds_a_marker() -> None:
    assert all(set(mark) & set(OF_MARKERS) for mark in CALL_MARKERS)


def test_every_format_is_registered_under_its_name() -> None:
    assert all(FORMATS[name].name == name for name in FORMATS)


def test_every_notation_for_reasoning_is_known_to_the_renderer() -> None:
    own = {notation for each in FORMATS.values() for notation in each.reasoning}
    assert own <= set(NOTATIONS)
