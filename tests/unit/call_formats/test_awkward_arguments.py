"""Arguments that spell markup: what a model wrote as text stays text, or the call is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cbdata.call_formats.base import CallFormat, Reading, any_of
from cbdata.call_formats.completion import Completion, Control
from cbdata.call_formats.registry import FORMATS, KNOWN_MARKERS
from tests.unit.call_formats.given_calls import TOOLS, Calls, calls, calls_of, is_whole, read, same

WITHOUT_ESCAPES = {"qwen_xml", "glm", "minimax_m2", "seed_oss", "deepseek_dsml"}
"""Notations of bare text. In letters, a value with the end of an argument *and* the beginning of
another cannot be told from two arguments; with one of them the rest is no call.
"""

DELIMITERS = {"function_gemma": "<escape>", "gemma4": '<|"|>'}
"""What begins and ends a string without escapes. In letters, a value that holds it cannot be told
from two strings.
"""

END = "<end>"
# Neither letters nor white space, as the marks that they stand for, and printable.
STAND_INS = "\u2190\u2191\u2192\u2193"

markers = st.sampled_from(sorted(KNOWN_MARKERS))
awkward = st.sampled_from(
    [
        *("", " ", "\n", "\r\n", "\t", '"', "'", "\\", "\\n", "{", "}", "[", "]", ",", ":", "("),
        *("null", "None", "true", "1", "-0.0", "\u2028", "\ufdd0", "\x00", "\U0001f30a"),
        *("Action:", "Action Input:", "Observation:", "\n```", "</", "<b>", "&lt;", "<!--", "]]>"),
    ]
)
other = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=STAND_INS), max_size=5)
many_markers = st.lists(markers | awkward | other, max_size=4).map("".join)
one_marker = st.tuples(awkward | other, st.just("") | markers, awkward | other).map("".join)


def swapped(value: Any, table: dict[int, int]) -> Any:
    """The same value, characters exchanged in its strings and keys."""
    if isinstance(value, str):
        return value.translate(table)
    if isinstance(value, dict):
        return {swapped(key, table): swapped(each, table) for key, each in value.items()}
    return [swapped(each, table) for each in value] if isinstance(value, list) else value


def read_from_ids(call_format: CallFormat, wanted: Calls) -> Reading:
    """Calls as a model writes them whose markers are all control tokens: the markup in tokens, the
    arguments in letters.
    """
    firsts = "".join(sorted({mark[0] for mark in call_format.all_markers}))
    there = str.maketrans(firsts, STAND_INS[: len(firsts)])
    back = str.maketrans(STAND_INS[: len(firsts)], firsts)
    text = call_format.write([(name, swapped(given, there)) for name, given in wanted])
    marks = re.finditer(any_of(call_format.all_markers), text)
    controls = tuple(Control(mark.start(), mark.end(), mark.group()) for mark in marks)
    vocabulary = frozenset(call_format.all_markers) | {END}
    completion = Completion(text.translate(back), controls, vocabulary)
    view, _ = completion.view(call_format, frozenset({END}))
    return call_format.read(view, TOOLS)


@settings(max_examples=200)
@given(wanted=calls(many_markers))
@example(wanted=[("first_tool", {"more": {"functools[": None}})])
def test_from_ids_every_argument_is_read_back(wanted: Calls) -> None:
    for name, call_format in FORMATS.items():
        reading = read_from_ids(call_format, wanted)
        assert is_whole(reading) and same(calls_of(reading), wanted), (name, reading)


def exact_or_refused(names: set[str], wanted: Calls) -> None:
    for name in sorted(names):
        if name in DELIMITERS and DELIMITERS[name] in str(wanted):
            continue
        reading = read(FORMATS[name], FORMATS[name].write(wanted))
        assert not is_whole(reading) or same(calls_of(reading), wanted), (name, reading)


@settings(max_examples=200)
@given(wanted=calls(many_markers))
def test_from_letters_an_argument_is_read_back_or_refused(wanted: Calls) -> None:
    exact_or_refused(FORMATS.keys() - WITHOUT_ESCAPES, wanted)


@settings(max_examples=200)
@given(wanted=calls(one_marker))
def test_from_letters_a_bare_argument_is_read_back_or_refused(wanted: Calls) -> None:
    exact_or_refused(WITHOUT_ESCAPES, wanted)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_string_that_closes_its_call_and_begins_another_is_one_string(name: str) -> None:
    before, behind = FORMATS[name].write([("first_tool", {"text": "@@"})]).split("@@")
    for value in (f"x{behind}{before}y", f"{behind}\n{before}", "x" + "".join(KNOWN_MARKERS)):
        wanted: Calls = [("first_tool", {"text": value})]
        reading = read_from_ids(FORMATS[name], wanted)
        assert is_whole(reading) and calls_of(reading) == wanted, reading


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("gemma_tool_code", ("f", {"a=1, b": 2})),
        ("deepseek_dsml", ("f", {'a" string="true">x': 2})),
        ("gemma4", ("f", {"a": float("nan")})),
    ],
)
def test_what_a_notation_cannot_say_is_not_written(name: str, call: tuple[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"cannot be written|has no spelling"):
        FORMATS[name].write([call])


@pytest.mark.parametrize("name", ["gemma4", "function_gemma"])
@pytest.mark.parametrize("key", ["a:1,b", "", "c d", "functools[", "{", "]", "\u2460", "\u00e9"])
def test_keys_of_gemma_are_kept_or_refused(name: str, key: str) -> None:
    """The notation puts keys in delimiters where they would read as something else; templates print
    them as they are.
    """
    wanted: Calls = [("first_tool", {key: 1, "more": {key: []}})]
    text = FORMATS[name].write(wanted)
    assert calls_of(read(FORMATS[name], text)) == wanted
    quote = DELIMITERS[name]
    printed = read(FORMATS[name], text.replace(f"{quote}{key}{quote}", key))
    as_two = key == "a:1,b"
    assert as_two or not is_whole(printed) or calls_of(printed) == wanted
