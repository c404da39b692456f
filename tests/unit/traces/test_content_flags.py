"""Flags for control tokens and markup in texts."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cbdata.ids import canonical_json
from cbdata.traces import content_flags
from cbdata.traces.content_flags import NAMES, flags_of, message_flags


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("", []),
        ("a < b and c > d, x[0], 1 <2", []),
        ("plain\ttext\r\nwith é and 東京 🏢", []),
        ("<|eot_id|>", ["control_token"]),
        ("<|im_start|>system", ["control_token"]),
        ("</s>", ["control_token", "markup"]),
        ("[INST] hi [/INST]", ["control_token"]),
        ("<<SYS>>", ["control_token", "markup"]),
        ("[TOOL_CALLS][]", ["control_token"]),
        ("<start_of_turn>user", ["control_token", "markup"]),
        ("<tool_call>\n{}", ["tool_call_markup", "markup"]),
        ("</function>", ["tool_call_markup", "markup"]),
        ("<!-- hidden -->", ["html_comment"]),
        ("<ScRiPt>x</script>", ["script", "markup"]),
        ("< script src=x>", ["script"]),
        ("<span style='display:none'>x</span>", ["markup"]),
        ("<INFORMATION>", ["markup"]),
        ("a\x00b", ["nul"]),
        ("a\x1b[31mb", ["control_character"]),
        ("a\x08b", ["control_character"]),
        ("a\x0cb", ["control_character"]),
        ("a\x7fb", ["control_character"]),
        ("a\x85b", ["control_character"]),
        ("a\u200bb", ["invisible_character"]),
        ("a\u202eb", ["invisible_character"]),
        ("\U000e0041", ["invisible_character"]),
    ],
)
def test_flags_of_a_text(text: str, flags: list[str]) -> None:
    assert flags_of(text) == flags
    assert message_flags([{"content": "x"}, {"content": text}], canonical_json([text])) == (
        [{"message_index": 1, "flags": flags}] if flags else []
    )


PIECES = st.sampled_from(
    [
        "<",
        ">",
        "|",
        "/",
        "s",
        "<|",
        "|>",
        "im_end",
        "[",
        "INST]",
        "/INST]",
        "<<",
        "SYS>>",
        "<tool",
        "_call>",
        "<func",
        "tion=",
        "<!--",
        "<Script",
        " ",
        "\x00",
        "\x08",
        "\x0c",
        "\x1f",
        "\x7f",
        "\x80",
        "\u200b",
        "é",
        "\\",
        "\\u0000",
        "b",
        "\n",
        "start_of_turn>",
        "bos>",
        "<unk>",
    ]
)


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(), st.lists(PIECES).map("".join)), max_size=4))
@example(["\\b", "\\u00e9"])
def test_the_quick_tests_miss_nothing(texts: list[str]) -> None:
    """All patterns on every text, against the shortcuts that look at the record's JSON first."""
    every = content_flags.ANGLE_PATTERNS | content_flags.CHARACTER_PATTERNS
    expected = []
    for index, text in enumerate(texts):
        found = {name for name, pattern in every.items() if pattern.search(text)}
        found |= {"control_token"} if content_flags.SQUARE_PATTERN.search(text) else set()
        found |= {"nul"} if "\x00" in text else set()
        if found:
            expected.append(
                {"message_index": index, "flags": [name for name in NAMES if name in found]}
            )
    messages = [{"content": text} for text in texts]
    assert message_flags(messages, canonical_json(messages)) == expected


def test_no_pattern_takes_quadratic_time() -> None:
    """A megabyte of what every pattern begins with; a pattern that started over at each place would
    not come back.
    """
    for start in ("<", "<|", "</", "<<", "[", "<a ", "<function=", "< ", "<s"):
        flags_of(start * (1_000_000 // len(start)))
