"""Calls that messages of others have in the markup of calls: an answer that has the same may only
repeat them.

A repeated call need not be written as it was: its JSON may have other spaces or another order of
keys, and the result of a tool may show it as YAML, JSON or HTML printed it. So calls are compared
by name and arguments, as the call format reads them. Where the other's markup is there but cannot
be read, the letters of the name and of every value within a call's number of markers are enough,
unless nothing like a call stands behind the first of them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from unicodedata import normalize

from cbdata.call_formats.base import MARK, Call, CallFormat, Reading, View, any_of, in_shape
from cbdata.call_formats.completion import Completion
from cbdata.ids import canonical_json
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.tools import ToolSchema

LIKE_A_CALL = re.compile(r"[{\[(<=]")
"""What no call is without, in any format."""

ESCAPES = frozenset("%=")
"""With these, addresses and quoted-printable write such characters."""


STRETCHED, BESIDE = 4, 200
"""A quoted call that cannot be read has at most this many times the letters of the call, and so
many more: a printer writes up to three for a sign, and other keys may stand beside the call's own.
"""


class Unread(NamedTuple):
    """Markup in a text that is not read as calls: where each of the format's markers in the whole
    text starts and ends, and which of them, ``[first, last)``, are meant.
    """

    text: str
    markers: Sequence[int]
    ends: Sequence[int]
    first: int
    last: int


class Wanted(NamedTuple):
    """How a call is looked for in unread markup.

    ``opening`` is the marker with which it begins and ``closing`` the one that ends it, "" where
    none does; ``marks`` is the number of its markers, and ``like`` what it has of ``LIKE_A_CALL``
    behind the first, with what may stand for it.
    """

    opening: str
    closing: str
    marks: int
    like: frozenset[str]


class QuotedCalls:
    """The calls in the texts of others in one conversation."""

    def __init__(
        self, call_format: CallFormat, tokenizer: PlainTokenizer, tools: ToolSchema
    ) -> None:
        """Nothing is read before ``add``.

        Args:
            call_format: The format whose markup counts.
            tokenizer: Its control tokens are markers where the format has them.
            tools: What the format reads arguments with: the same for both sides.
        """
        self._format, self._tokenizer, self._tools = call_format, tokenizer, tools
        self._marker = re.compile(any_of(in_shape(text) for text in call_format.markers))
        self._known: set[bytes] = set()
        self._unread: list[Unread] = []

    def add(self, text: str) -> None:
        """Remember the calls of a text, in each way in which printers may have written them."""
        from cbdata.sources.printed_text import readings  # needed for calls in contents alone

        unread: list[tuple[int, list[Unread]]] = []
        for reading in readings(text):
            completion = Completion.spelled(reading.text, self._tokenizer)
            view, _ = completion.view(self._format, frozenset())
            markers = [match.span() for match in self._marker.finditer(view.shape)]
            if markers:
                unread.append((len(markers), self._rest(view, *zip(*markers, strict=True))))
        # Where one way reads everything, the others that see no more markers spoil it.
        whole = max((count for count, rest in unread if not rest), default=0)
        self._unread += [each for count, rest in unread if count > whole for each in rest]

    def _rest(self, view: View, markers: Sequence[int], ends: Sequence[int]) -> list[Unread]:
        """Keep the calls of a text; what cannot be read. Reading begins anew behind each call,
        where some formats stop, and behind each fault. It begins with none but the format's own
        markers: a call that is quoted inside reasoning is quoted all the same.
        """
        every = [match.start() for match in re.finditer(MARK, view.shape)]
        known = [False] * len(markers)
        at = 0
        while at < len(markers):
            start, behind = markers[at], at + 1
            found = self._read_calls(view, start, len(view.text))
            if found.fault is not None:
                wrong = start + found.fault.at + 1
                behind = bisect_left(markers, wrong, lo=behind)
                cut = bisect_left(every, wrong, lo=bisect_right(every, start))
                found = self._read_calls(view, start, every[cut - 1])
            elif not found.calls:
                break
            for call in found.calls if found.fault is None else ():
                low = bisect_left(markers, start + call.start)
                high = bisect_left(markers, start + call.end)
                known[low:high] = [True] * (high - low)
                behind = max(behind, high)
            at = behind
        changes = (place for place in range(1, len(known)) if known[place] != known[place - 1])
        return [
            Unread(view.text, markers, ends, low, high)
            for low, high in pairwise((0, *changes, len(known)))
            if not known[low]
        ]

    def _read_calls(self, view: View, start: int, end: int) -> Reading:
        """Read a stretch of a text and keep its calls; places are counted from the start."""
        reading = self._format.read(View(view.text[start:end], view.shape[start:end]), self._tools)
        self._known.update(map(_identity, reading.calls))
        return reading

    def has(self, call: Call, view: View) -> bool:
        """Whether one of them is this call, or may be.

        Args:
            call: The call of an answer.
            view: The view that it was read from.
        """
        if _identity(call) in self._known:
            return True
        if not self._unread:
            return False
        wanted = self._wanted(call, view)
        length = STRETCHED * len(_letters(view.text[call.start : call.end])) + BESIDE
        return any(
            _holds(window, call, length)
            for unread in self._unread
            for window in _windows(unread, wanted)
        )

    def _wanted(self, call: Call, view: View) -> Wanted:
        """The markers of a call; of a list of calls behind one marker, it is the marker of each."""
        found = [match.span() for match in self._marker.finditer(view.shape, 0, call.end)]
        before = [span for span in found if span[0] <= call.raw_start]
        opening, behind = (before or found or [(call.start, call.start)])[-1 if before else 0]
        own = [span for span in found if span[0] >= min(opening, call.start)]
        stop, edge = own[-1] if len(own) > 1 else (call.end, call.end)
        if edge < call.end and stop < call.raw_start + len(call.raw):
            stop = edge = call.end  # nothing closes it
        like = frozenset(LIKE_A_CALL.findall(view.text[behind:stop]))
        return Wanted(
            view.text[opening:behind],
            view.text[stop:edge],
            max(len(own), 1),
            like | ESCAPES if like else like,
        )


def _windows(unread: Unread, wanted: Wanted) -> Iterator[str]:
    """The stretches that begin with an unread marker and have as many markers as a call, or more
    up to where the next one begins or this one ends. Those with nothing like a call behind their
    first marker are left out, for they are prose that names a marker.
    """
    text, markers, ends, first, last = unread
    for number in range(first, last):
        end = number + wanted.marks - bool(wanted.closing)
        if number == first or text.startswith(wanted.opening, markers[number]):
            while end < len(markers) and not _begins(text, markers[end], wanted):
                end += 1
        elif end + bool(wanted.closing) > len(markers):
            continue  # prose behind the last call
        stop = markers[end] if end < len(markers) else len(text)
        said = normalize("NFKD", text[ends[number] : stop])
        if not wanted.like or wanted.like.intersection(said):
            yield text[markers[number] : stop]


def _begins(text: str, place: int, wanted: Wanted) -> bool:
    """Whether the marker at a place opens or closes calls."""
    return text.startswith((wanted.opening, wanted.closing or wanted.opening), place)


def _holds(window: str, call: Call, length: int) -> bool:
    """Whether the letters of a call's name and of all its values stand in a text, among the first
    ``length`` letters: what follows is no longer the quoted call, but the text behind it.
    """
    letters, name = _letters(window), _letters(call.name)
    wanted = [name, *map(_letters, _values(call.arguments))]
    # Behind one marker there may be a list: a later call begins where its name is said to be one.
    starts = [0, *(found.start() for found in re.finditer(f"name{re.escape(name)}", letters))]
    return any(
        all(letters.find(said, start, start + length) >= 0 for said in wanted) for start in starts
    )


def _letters(text: str) -> str:
    from cbdata.sources.printed_text import LETTERS

    return LETTERS.undo(text)


def _values(value: Any) -> Iterator[str]:
    """Every value in nested lists and mappings, as text."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _values(item)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item)
    else:
        yield _scalar(value)


def _scalar(value: Any) -> str:
    """A string, number, boolean or null in the one spelling that is compared."""
    from cbdata.sources.printed_text import folded

    if isinstance(value, str):
        return folded(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).casefold()  # true and null are True and None in some notations


def _identity(call: Call) -> bytes:
    """Name and arguments in the one spelling that is compared."""
    return canonical_json([call.name, _folded(call.arguments)])


def _folded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _folded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_folded(item) for item in value]
    return _scalar(value)
