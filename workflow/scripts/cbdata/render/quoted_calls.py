"""Calls that messages of others have in the markup of calls: an answer that has the same may only
repeat them.

A repeated call need not be written as it was: its JSON may have other spaces or another order of
keys, and the result of a tool may show it as YAML, JSON or HTML printed it. So calls are compared
by name and arguments, as the call format reads them. Where the other's markup is there but cannot
be read, the letters of the name and of every value within a call's number of markers are enough.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from cbdata.call_formats.base import MARK, Call, CallFormat, Reading, View
from cbdata.call_formats.completion import Completion
from cbdata.ids import canonical_json
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.tools import ToolSchema


class Unread(NamedTuple):
    """Markup in a text that is not read as calls: the places of the markers of the whole text, and
    which of them, ``[first, last)``, are meant.
    """

    text: str
    markers: Sequence[int]
    first: int
    last: int


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
        self._known: set[bytes] = set()
        self._unread: list[Unread] = []

    def add(self, text: str) -> None:
        """Remember the calls of a text, in each way in which printers may have written them."""
        from cbdata.sources.printed_text import readings  # needed for calls in contents alone

        unread: list[list[Unread]] = []
        for reading in readings(text):
            completion = Completion.spelled(reading.text, self._tokenizer)
            view, _ = completion.view(self._format, frozenset())
            if MARK in view.shape:
                unread.append(self._rest(view))
        if all(unread):  # else one way reads everything, and the others spoil it
            self._unread += [each for some in unread for each in some]

    def _rest(self, view: View) -> list[Unread]:
        """Keep the calls of a text; what cannot be read. Reading goes on behind each marker."""
        markers = [match.start() for match in re.finditer(MARK, view.shape)]
        rest: list[Unread] = []
        at, first = 0, len(markers)  # ``first`` is the first marker of what is not read
        while at < len(markers):
            start = markers[at]
            found = self._read_calls(view, start, len(view.text))
            if found.fault is None:
                if not found.calls:
                    first, last = min(first, at), len(markers)
                else:
                    last = bisect_left(markers, start + found.calls[0].start)
                return [*rest, Unread(view.text, markers, first, last)] if first < last else rest
            behind = bisect_left(markers, start + found.fault.at + 1, lo=at + 1)
            before = self._read_calls(view, start, markers[behind - 1])
            begun = at if before.fault or not before.calls else behind - 1
            if first < at < begun:
                rest.append(Unread(view.text, markers, first, at))
                first = begun
            first, at = min(first, begun), behind
        return [*rest, Unread(view.text, markers, first, len(markers))]

    def _read_calls(self, view: View, start: int, end: int) -> Reading:
        """Read a stretch of a text and keep its calls; places are counted from the start."""
        reading = self._format.read(View(view.text[start:end], view.shape[start:end]), self._tools)
        self._known.update(map(_identity, reading.calls))
        return reading

    def has(self, call: Call, shape: str) -> bool:
        """Whether one of them is this call, or may be.

        Args:
            call: The call of an answer.
            shape: Its stretch in the shape of the view that it was read from, markup included.
        """
        if _identity(call) in self._known:
            return True
        count = shape.count(MARK)
        closed = call.start + shape.rfind(MARK) >= call.raw_start + len(call.raw)
        return any(
            _holds(window, call)
            for unread in self._unread
            for window in _windows(unread, count, closed)
        )


def _windows(unread: Unread, count: int, closed: bool) -> Iterator[str]:
    """The stretches of so many markers that begin in unread markup; ``closed``: they end where the
    last marker begins.
    """
    text, markers, first, last = unread
    behind = len(markers) if closed else len(markers) + 1
    for number in range(first, last):
        end = number + (count - 1 if closed else count)
        if end < behind or number == first:  # else prose behind the last call would count
            yield text[markers[number] : markers[end] if end < len(markers) else len(text)]


def _holds(window: str, call: Call) -> bool:
    """Whether the letters of a call's name and of all its values stand in a text."""
    letters = _letters(window)
    return all(_letters(said) in letters for said in (call.name, *_values(call.arguments)))


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
