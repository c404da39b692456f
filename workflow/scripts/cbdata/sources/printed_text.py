"""Undo what printers do to a text, so that a text can be looked for in what was printed of it.

Tools return what YAML, JSON, Python or HTML printed, often one inside the other. Nothing in the
result says which of them it was, so each printer's inverse is tried, and each on what another one
gave. Every reading keeps where its characters stand in the text as printed.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_PRINTERS = 3
"""How many printers may have worked one after the other, as in JSON inside YAML inside HTML."""


class Inverse(NamedTuple):
    """The inverse of a printer: ``pattern`` finds what it wrote for some characters, ``value`` says
    which characters those were. It finds nothing in a text without any of the ``marks``, which are
    quicker to look for.
    """

    pattern: re.Pattern[str]
    value: Callable[[re.Match[str]], str]
    marks: tuple[str, ...]

    def undo(self, text: str) -> str:
        """The text as it was before."""
        return self.pattern.sub(self.value, text)

    def finds(self, reading: Reading) -> bool:
        """Whether a reading may hold something to undo."""
        return not self.marks or any(mark in reading.text for mark in self.marks)


class Reading:
    """A text after some inverses. ``text`` is what was read; ``span`` says where a part of it
    stands in the text as printed.
    """

    def __init__(self, text: str, source: Reading | None = None, inverse: Inverse | None = None):
        self.text, self._source, self._inverse = text, source, inverse

    def under(self, inverse: Inverse) -> Reading:
        """This text read once more; the same text where the inverse finds nothing to undo."""
        return Reading(inverse.undo(self.text), self, inverse)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The code points [start, end) of this reading, which must not be empty, as code points
        [start, end) of the text as printed.
        """
        if self._source is None:
            return start, end
        starts, ends = self._places
        return self._source.span(starts[start], ends[end - 1])

    @functools.cached_property
    def _places(self) -> tuple[list[int], list[int]]:
        """For each character: where what stands for it begins and ends in the text before."""
        assert self._source is not None and self._inverse is not None
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        for match in self._inverse.pattern.finditer(self._source.text):
            start, end = match.span()
            made = len(self._inverse.value(match))
            starts += [*range(done, start), *[start] * made]
            ends += [*range(done + 1, start + 1), *[end] * made]
            done = end
        last = len(self._source.text)
        starts += range(done, last)
        ends += range(done + 1, last + 1)
        return starts, ends


_ESCAPED = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    " ": " ",
    '"': '"',
    "'": "'",
    "/": "/",
    "\\": "\\",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}
"""Escapes of one character: YAML has all but ``\\'``, JSON and Python some of them."""

_HEX = "[0-9a-fA-F]"


def _unescaped(match: re.Match[str]) -> str:
    """The character of an escape; nothing for a backslash before a line break, which YAML adds."""
    body = match[0][1:]
    kind = body[0]
    if kind in "\r\n":
        return ""
    if len(body) == 1:
        return _ESCAPED[kind]
    if len(body) == 11:  # two halves: uD83D\uDE00
        high, low = int(body[1:5], 16), int(body[7:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    code = int(body[1:], 16)
    return chr(code) if code <= 0x10FFFF else match[0]


def _entity(match: re.Match[str]) -> str:
    """The characters of an entity. A number is the code point that the printer had, though browsers
    show others for 128 to 159.
    """
    text = match[0]
    if text[0] == "<":
        return "\n"
    if text[1] != "#":
        return html.unescape(text)
    code = int(text[3:-1], 16) if text[2] in "xX" else int(text[2:-1])
    return chr(code) if code <= 0x10FFFF else text


def _decoded(match: re.Match[str]) -> str:
    try:
        return match[0].encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return match[0]


BACKSLASH = Inverse(
    re.compile(
        rf"\\(?:u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}|u{_HEX}{{4}}|U{_HEX}{{8}}"
        rf"|x{_HEX}{{2}}|\r?\n[ \t]*|[{re.escape(''.join(_ESCAPED))}])"
    ),
    _unescaped,
    ("\\",),
)
"""JSON, YAML in double quotes and Python's ``repr``. They agree in what each escape means."""

ENTITY = Inverse(
    re.compile(r"&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});|<br[ ]?/?>"),
    _entity,
    ("&", "<br"),
)
"""HTML and XML."""

DOUBLED_QUOTE = Inverse(re.compile("''"), lambda match: "'", ("''",))
"""YAML in single quotes."""

JOINED_STRINGS = Inverse(re.compile(r"""['"]\n[ ]*['"]"""), lambda match: "", ("'\n", '"\n'))
"""Python's ``pprint``, which prints a long text as several ones below each other."""

BYTES = Inverse(
    re.compile("[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"),
    _decoded,
    tuple(map(chr, range(0xC2, 0xF5))),
)
"""UTF-8 shown byte by byte: ``repr`` of bytes once its escapes are undone."""

PRINTERS = (BACKSLASH, ENTITY, DOUBLED_QUOTE, JOINED_STRINGS, BYTES)


def _from_bytes(match: re.Match[str]) -> str:
    """The text of bytes written as hexadecimal numbers; nothing for a line break that was added."""
    digits = re.sub("[^0-9A-Fa-f]", "", match[0])
    try:
        return bytes.fromhex(digits).decode("utf-8")
    except ValueError:
        return match[0]


LOOSE_PRINTERS = (
    Inverse(re.compile(f"(?:%{_HEX}{{2}})+"), _from_bytes, ("%",)),
    Inverse(re.compile(f"(?:={_HEX}{{2}}|=\r?\n)+"), _from_bytes, ("=",)),
    Inverse(re.compile(r"^[ \t]*\d+(?:[:.|)\]\t]|\u2192)", re.MULTILINE), lambda match: "", ()),
    Inverse(re.compile(r"\x1b\[[0-9;]*[A-Za-z]"), lambda match: "", ("\x1b",)),
    Inverse(re.compile(r"</?[A-Za-z][^<>]*>"), lambda match: "", ("<",)),
)
"""Addresses, quoted-printable, numbered lines, colours of a terminal, and HTML that puts tags into
a text. What they write stands in many texts that they did not print, so they count only where a
text is compared by its letters.
"""

INVISIBLE = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff"
)
"""Characters without a shape of their own, as a class of a pattern. Tag characters (U+E0000 to
U+E007F) are not among them, because whole texts are written in them.
"""
_SPACE = re.compile(rf"[\s{INVISIBLE}]+")
_INVISIBLE = re.compile(f"[{INVISIBLE}]+")


def _folded(match: re.Match[str]) -> str:
    text = match[0]
    if _SPACE.match(text):
        return " " if _INVISIBLE.sub("", text) else ""
    return unicodedata.normalize("NFKD", text)


FOLDED = Inverse(
    # One plain space stays as it is, and most texts have no other white space.
    re.compile(rf"[\s{INVISIBLE}]{{2,}}|[^\S ]|[{INVISIBLE}]|[^\x00-\x7f]"),
    _folded,
    (),
)
"""What printers that fold, indent or clean texts may change without changing a word: white space of
any length is one space, what cannot be seen is left out, characters are taken apart (NFKD).
"""


def _letters(match: re.Match[str]) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", match[0]).casefold()))


LETTERS = Inverse(re.compile(r"[\W_]+|[A-Z]|[^\x00-\x7f]"), _letters, ())
"""What every printer leaves of a text: its letters and digits, without case."""


def folded(text: str) -> str:
    """A text without what ``FOLDED`` undoes and without space at its ends; two texts with the same
    words have the same.
    """
    if text.isascii():
        return " ".join(text.split())
    return FOLDED.pattern.sub(_folded, text).strip()


def readings(text: str) -> Iterator[Reading]:
    """What a text says after each sequence of up to ``MAX_PRINTERS`` inverses that changes it, each
    once, itself first.
    """
    level = [Reading(text)]
    seen = {text}
    for _ in range(MAX_PRINTERS):
        yield from level
        following = []
        for reading in level:
            for inverse in PRINTERS:
                if not inverse.finds(reading):
                    continue
                read = reading.under(inverse)
                if read.text not in seen:
                    seen.add(read.text)
                    following.append(read)
        level = following
    yield from level
