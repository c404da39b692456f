"""Text of unknown origin made safe to look at: nothing invisible, nothing that reorders what stands
around it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

# Format, control, private-use, surrogate and unassigned characters, line and paragraph separators,
# spaces other than U+0020.
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
CONTROL_PICTURES = 0x2400
JOINER, EMOJI_FORM = "\u200d", "\ufe0f"
JOINING = JOINER + EMOJI_FORM
SKIN_TONES = "".join(map(chr, range(0x1F3FB, 0x1F400)))
# The end of a part of a name (behind _ / . : -, before a letter or digit), and of a long run of
# other characters, but not where a combining mark follows.
PART_END = re.compile(r"(?<=[_/.:-])(?=[^\W_])|(?<=[^\s_/.:-]{22})(?=[^\W_])")


def visible_char(char: str) -> str:
    """The character itself if it can be seen and moves nothing, else a control picture or its code
    point in brackets.
    """
    code = ord(char)
    if code == 0x20 or (
        unicodedata.category(char) not in HIDDEN_CATEGORIES and not 0xFE00 <= code <= 0xFE0F
    ):
        return char
    if code < 0x20:
        return chr(CONTROL_PICTURES + code)
    return f"⟦U+{code:04X}⟧"


def seen(text: str) -> str:
    """Text of unknown origin that can move nothing on a terminal; line feeds and tabs stay."""
    return "".join(char if char in "\n\t" else visible_char(char) for char in text)


def visible(value: Any) -> str:
    """``str(value)`` with every hidden character shown. The result is not escaped for HTML.

    What makes one emoji of several characters stays as it is: a joiner between two pictures, and
    one selector of their coloured form behind a picture.
    """
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in JOINING and _joins(text, index) else visible_char(char)
        for index, char in enumerate(text)
    )


def _joins(text: str, index: int) -> bool:
    """Whether the joiner or selector at a place of a text stands in an emoji."""
    before = text[index - 1] if index else ""
    if text[index] == EMOJI_FORM:
        return _is_picture(before)
    if before == EMOJI_FORM:
        before = text[index - 2] if index > 1 else ""
    return _is_picture(before) and _is_picture(text[index + 1 : index + 2])


def _is_picture(char: str) -> bool:
    """Whether a character is a symbol of its own or a skin tone."""
    return char != "" and (unicodedata.category(char) == "So" or char in SKIN_TONES)


def parts(text: str) -> list[str]:
    """A text in the pieces between which a line may be broken beside its spaces: the parts of
    names, and at most 22 characters of what has none.

    Args:
        text: Any text; joined, the pieces are the same text again.
    """
    pieces, start, last = [], 0, -22
    for match in PART_END.finditer(text):
        end = match.start()
        natural = text[end - 1] in "_/.:-"
        if end and (natural or end - last >= 22):
            pieces.append(text[start:end])
            start = last = end
    return [*pieces, text[start:]]


def script_json(value: Any) -> str:
    """JSON that can stand inside a ``script`` element whatever strings it holds: no ``<``, ``>``,
    ``&`` and no line separators.

    Half surrogates cannot be encoded; they must have been replaced before.
    """
    text = orjson.dumps(value).decode()
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def script_json_pieces(value: Mapping[str, Any]) -> Iterator[str]:
    """``script_json`` of an object in pieces, one for each of its values and for each of the values
    of an object in it, so that a large one is never in memory twice as text.
    """
    yield "{"
    for number, (key, part) in enumerate(value.items()):
        yield f"{',' if number else ''}{script_json(key)}:"
        if isinstance(part, dict):
            yield "{"
            for at, (name, values) in enumerate(part.items()):
                yield f"{',' if at else ''}{script_json(name)}:{script_json(values)}"
            yield "}"
        else:
            yield script_json(part)
    yield "}"
