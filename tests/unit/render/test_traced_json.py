"""JSON text with origins in it: the same text as without them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.render.traced_json import Known, dump_json
from cbdata.render.traced_text import Origin, Part, TracedText, traced, with_parts
from tests.unit.render.test_traced_text import TEXT, A, B, agrees, shown

NOTHING = Known({})


@given(TEXT, TEXT, st.sampled_from([None, 2]), st.booleans())
def test_json_keeps_origins_in_escaped_form(
    first: str, second: str, indent: int | None, sort_keys: bool
) -> None:
    def dumps(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=sort_keys)

    plain = {"z": [first, {"k": second}], "a": first, "n": None}
    value = dump_json(
        {"z": [first, {"k": traced(second, B)}], "a": traced(first, A), "n": None}, dumps, NOTHING
    )
    assert value == dumps(plain)
    assert isinstance(value, TracedText)
    agrees(value, A, first)
    assert shown(value, A) == dumps(first)[1:-1]
    assert shown(value, B) == dumps(second)[1:-1]


def test_json_of_a_known_value_is_its_origin_as_a_whole() -> None:
    arguments = {"x": 1}
    value = dump_json(arguments, json.dumps, Known({id(arguments): Origin("arguments", 2, 1)}))
    assert isinstance(value, TracedText)
    assert [tuple(part[:3]) for part in value.parts] == [(0, 8, Origin("arguments", 2, 1))]


def test_ascii_escapes_keep_the_origin() -> None:
    value = dump_json(traced("é😀", A), json.dumps, NOTHING)
    assert value == '"\\u00e9\\ud83d\\ude00"'
    assert shown(value, A) == str.__str__(value)[1:-1]
    (part,) = value.parts
    assert (part.escape, part.in_ascii) == ("é😀", True)
    nested = dump_json({"k": [traced("é", A)]}, json.dumps, NOTHING)
    assert nested == '{"k": ["\\u00e9"]}'
    assert shown(nested, A) == "\\u00e9"


@pytest.mark.parametrize("indent", [None, 2])
def test_marks_stand_around_the_text_of_their_value(indent: int | None) -> None:
    """A list of calls that a template writes in one step: each has its own place in it."""

    def dumps(value: object) -> str:
        return json.dumps(value, indent=indent)

    calls = [{"name": traced("f", A), "n": [1]}, {"name": traced("g", B), "n": []}]
    start, end = (
        {
            id(call): with_parts("", (Part(0, 0, Origin(kind, 0, number)),))
            for number, call in enumerate(calls)
        }
        for kind in ("visit_start", "visit_end")
    )
    value = dump_json(calls, dumps, Known({}, start, end))
    assert value == dumps([{"name": "f", "n": [1]}, {"name": "g", "n": []}])
    assert isinstance(value, TracedText)
    places = {
        (part.origin.kind, part.origin.call): part.start
        for part in value.parts
        if part.origin.kind.startswith("visit")
    }
    for number, letter in enumerate("fg"):
        text = str.__str__(value)[places["visit_start", number] : places["visit_end", number]]
        assert json.loads(text)["name"] == letter
