"""Text made safe to look at, and JSON made safe inside a script element."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.report.text import parts, script_json, script_json_pieces, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcödé 漢字 🙂", "plain text, ünïcödé 漢字 🙂"),
        ("a\x00b\nc\td", "a\u2400b\u240ac\u2409d"),
        ("\u202eevil\u202c", "⟦U+202E⟧evil⟦U+202C⟧"),
        ("zero\u200bwidth\u00a0space\u2028line", "zero⟦U+200B⟧width⟦U+00A0⟧space⟦U+2028⟧line"),
        ("\x7f\x9b", "⟦U+007F⟧⟦U+009B⟧"),
        ("tag \U000e0041 and private \ue000", "tag ⟦U+E0041⟧ and private ⟦U+E000⟧"),
        (12, "12"),
        ("👩\u200d💻 ❤\ufe0f 🤷🏽\u200d♂\ufe0f", "👩\u200d💻 ❤\ufe0f 🤷🏽\u200d♂\ufe0f"),
        ("a\u200db 👩\u200d", "a⟦U+200D⟧b 👩⟦U+200D⟧"),
        ("❤\ufe0f\ufe0f\ufe0f 1\ufe0f", "❤\ufe0f⟦U+FE0F⟧⟦U+FE0F⟧ 1⟦U+FE0F⟧"),
        ("\ufe0f\u200d💻", "⟦U+FE0F⟧⟦U+200D⟧💻"),
    ],
)
def test_hidden_characters_are_shown(text: object, shown: str) -> None:
    assert visible(text) == shown


HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
TRICKY = "👩💻🏽\u200d\ufe0f\u200b\u202e\xad"


@given(st.text(st.characters() | st.sampled_from(TRICKY)))
def test_nothing_hidden_is_left_but_joiners_between_pictures(text: str) -> None:
    shown = visible(text).replace("\ufe0f", "")

    def is_picture(char: str) -> bool:
        return unicodedata.category(char) == "So" or 0x1F3FB <= ord(char) <= 0x1F3FF

    assert not [
        char
        for before, char, after in zip(" " + shown, shown, shown[1:] + " ", strict=False)
        if unicodedata.category(char) in HIDDEN - ({"Zs"} if char == " " else set())
        and not (char == "\u200d" and is_picture(before) and is_picture(after))
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_script_json_cannot_end_its_element_and_says_the_same(value: object) -> None:
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


VALUES = st.integers(-(2**53), 2**53) | st.lists(st.text(max_size=3), max_size=2)


@given(st.dictionaries(st.text(), VALUES | st.dictionaries(st.text(), VALUES, max_size=3)))
def test_pieces_are_the_whole(value: dict[str, object]) -> None:
    assert "".join(script_json_pieces(value)) == script_json(value)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", [""]),
        ("plain words stay whole", ["plain words stay whole"]),
        ("agentdojo/injection_succeeded", ["agentdojo/", "injection_", "succeeded"]),
        ("gpt-4o-2024", ["gpt-", "4o-", "2024"]),
        ("__a", ["__", "a"]),
        ("x" * 50, ["x" * 22, "x" * 22, "x" * 6]),
    ],
)
def test_lines_may_break_between_the_parts_of_names(text: str, pieces: list[str]) -> None:
    assert parts(text) == pieces


@given(st.text())
def test_parts_are_the_text_and_never_begin_with_a_mark(text: str) -> None:
    pieces = parts(text)
    assert "".join(pieces) == text
    assert not any(unicodedata.category(piece[0]).startswith("M") for piece in pieces[1:])
