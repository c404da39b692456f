"""Names for what in a message's text could be taken for control tokens or markup; the text itself
is never changed.

Independent of any tokenizer: the render stage, which knows one, decides what to do about its own
special tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cbdata.records import ContentFlags


ANGLE_PATTERNS = {
    # Llama 3, ChatML, Qwen and Phi write <|...|>, Llama 2 and Mistral <s> and <<SYS>>, Gemma
    # <start_of_turn>, SentencePiece <bos>.
    "control_token": re.compile(
        r"<(?:\|[^|<>\n]{1,64}\|>|/?s>|</?SYS>>|(?:start|end)_of_turn>|(?:bos|eos|pad|unk)>)"
    ),
    "tool_call_markup": re.compile(
        r"</?(?:tool_call|tool_response|tools|function-call|function-error|function(?:_calls?|=[^<>\n]{0,64})?)>"
    ),
    "html_comment": re.compile(r"<!--"),
    "script": re.compile(r"<[/\s]{0,8}[sS][cC][rR][iI][pP][tT]\b"),
    "markup": re.compile(r"</?[A-Za-z][A-Za-z0-9_-]{0,31}(?:\s[^<>]{0,256})?/?>"),
}
SQUARE_PATTERN = re.compile(r"\[(?:/?INST|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\]")
CHARACTER_PATTERNS = {
    "control_character": re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"),
    "invisible_character": re.compile(
        "[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
    ),
}
_UNUSUAL = re.compile(
    r"<(?:\||/?s>|</?SYS|(?:start|end)_of|(?:bos|eos|pad|unk)>|/?(?:tool|func)|!--|[/\s]{0,8}[sS][cC])"
)
"""Where every pattern of ANGLE_PATTERNS but ``markup`` must begin: one search instead of four for
ordinary text.
"""
_NOT_ASCII = re.compile(
    "[\x80-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
"""The part of CHARACTER_PATTERNS outside ASCII."""

_NONE: Set[str] = frozenset()
_MARKUP: Set[str] = frozenset({"markup"})

NAMES = (*ANGLE_PATTERNS, "nul", "control_character", "invisible_character")


def flags_of(text: str) -> list[str]:
    """The flags of a text, a sub-list of NAMES in its order."""
    found = (
        _bracket_flags(text)
        | _character_flags(text)
        | ({"control_token"} if SQUARE_PATTERN.search(text) else _NONE)
    )
    return [name for name in NAMES if name in found]


def message_flags(messages: Sequence[Mapping[str, Any]], canonical: bytes) -> list[ContentFlags]:
    """``content_flags`` of trace_v1: the messages that have flags, with them.

    ``canonical`` is the JSON of the messages, in which most control characters stand as \\u00xx:
    one look at it, and quick tests of each text, keep most texts from being searched at all.
    """
    escaped = b"\\u00" in canonical or b"\x7f" in canonical
    plain = canonical.isascii()
    rows: list[ContentFlags] = []
    for index, message in enumerate(messages):
        text = message["content"]
        angle = text.find("<")
        found = _bracket_flags(text, angle) if angle >= 0 else _NONE
        if "[" in text and SQUARE_PATTERN.search(text):
            found = found | {"control_token"}
        if (
            escaped
            or "\b" in text
            or "\f" in text
            or not (plain or text.isascii() or _NOT_ASCII.search(text) is None)
        ):
            found = found | _character_flags(text)
        if found:
            rows.append(
                {"message_index": index, "flags": [name for name in NAMES if name in found]}
            )
    return rows


def _bracket_flags(text: str, start: int = 0) -> Set[str]:
    """The flags of ANGLE_PATTERNS, with nothing but other characters before ``start``."""
    if _UNUSUAL.search(text, start):
        return {name for name, pattern in ANGLE_PATTERNS.items() if pattern.search(text, start)}
    return _MARKUP if ANGLE_PATTERNS["markup"].search(text, start) else _NONE


def _character_flags(text: str) -> Set[str]:
    found = {name for name, pattern in CHARACTER_PATTERNS.items() if pattern.search(text)}
    if "\x00" in text:
        found.add("nul")
    return found
