"""A value that spells markers is read back exactly or rejected, never changed."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbdata.call_formats.base import any_of
from cbdata.call_formats.completion import Completion, Control
from cbdata.call_formats.registry import CALL_MARKERS, FORMATS
from cbdata.ids import canonical_json
from cbdata.judge.reading import ReadingRules, read_completion
from cbdata.tools import ToolSchema

NAMES = sorted(FORMATS)
AWKWARD = st.sampled_from(
    [
        *(
            "",
            " ",
            "\n",
            "\r\n",
            "\t",
            '"',
            "'",
            "\\",
            "\\n",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "=",
            "(",
        ),
        *(
            "null",
            "None",
            "true",
            "1",
            "-0.0",
            "\u00e9",
            "\u6f6e",
            "\U0001f30a",
            "\u2028",
            "\ufdd0",
        ),
        *("Action:", "Action Input:", "Observation:", "```", "<b>", "&lt;", "<!--", "]]>", "\x00"),
    ]
)
WORDS = st.text(alphabet="abc <>/|", max_size=6)


def tools() -> ToolSchema:
    properties = {
        "text": {"type": "string"},
        "items": {"type": "array", "items": {"type": "string"}},
        "more": {"type": "object"},
    }
    function = {"name": "first_tool", "parameters": {"type": "object", "properties": properties}}
    return ToolSchema("v", ({"type": "function", "function": function},), None, "0", "tools.json")


@st.composite
def awkward_texts(draw: st.DrawFn, name: str) -> str:
    """Text around at most two markers: with more, a value can spell the end of its call and another
    whole call behind it, which in letters *is* another call.
    """
    parts = draw(st.lists(AWKWARD | WORDS, max_size=4))
    marks = draw(st.lists(st.sampled_from(sorted(CALL_MARKERS)), max_size=2))
    own = sorted(FORMATS[name].all_markers)
    marks += draw(st.lists(st.sampled_from(own), max_size=2 - len(marks))) if own else []
    return "".join(draw(st.permutations([*parts, *marks])))


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_exact_or_rejected(name: str, data: st.DataObject) -> None:
    texts = awkward_texts(name)
    arguments: dict[str, Any] = data.draw(
        st.fixed_dictionaries(
            {"text": texts},
            optional={
                "items": st.lists(texts, max_size=2),
                "more": st.dictionaries(texts, texts, max_size=2),
            },
        )
    )
    wanted = [("first_tool", arguments)]
    try:
        text = FORMATS[name].write(wanted)
    except ValueError:
        return
    found = read_completion(Completion.spelled(text), tools(), ReadingRules(name))
    if found.kind == "calls":
        read = [(call.name, call.arguments) for call in found.calls]
        assert canonical_json(read) == canonical_json(wanted)


TOKENS = ("command_r", "glm", "granite", "hermes_json", "internlm2", "kimi_k2", "phi4", "seed_oss")
"""Formats whose markers are control tokens of real tokenizers."""


@pytest.mark.parametrize("name", TOKENS)
def test_letters_of_a_marker_that_is_a_token_are_text(name: str) -> None:
    markers = FORMATS[name].all_markers
    value = "x" + "".join(markers)
    before, behind = FORMATS[name].write([("first_tool", {"text": "@@"})]).split("@@")
    text = before + value + behind
    controls = tuple(
        Control(match.start(), match.end(), match.group())
        for match in re.compile(any_of(markers)).finditer(text)
        if not len(before) <= match.start() < len(before) + len(value)
    )
    completion = Completion(text, controls, frozenset(markers))
    found = read_completion(completion, tools(), ReadingRules(name))
    assert [(call.name, call.arguments) for call in found.calls] == [
        ("first_tool", {"text": value})
    ], found.detail
    assert found.kind == "calls"
    # Of the letters alone nobody can say where the value ends.
    assert read_completion(Completion.spelled(text), tools(), ReadingRules(name)).kind != "calls"


LENGTH = 250_000


@pytest.mark.parametrize("name", NAMES)
def test_the_time_grows_with_the_length(name: str) -> None:
    written = FORMATS[name].write([("first_tool", {"text": "a", "items": ["b"]})])
    pieces = {*FORMATS[name].all_markers, written, written[: len(written) // 2], written[1:]}
    for piece in sorted(pieces):
        text = (piece * (LENGTH // len(piece) + 1))[:LENGTH]
        begin = time.perf_counter()
        read_completion(Completion.spelled(text), tools(), ReadingRules(name))
        took = time.perf_counter() - begin
        # A tenth of this is usual; a quadratic search would take minutes.
        assert took < 3, f"{piece!r}: {took:.1f} s"
