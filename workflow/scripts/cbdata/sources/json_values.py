"""Where the values of a JSON stream begin and end, without parsing them: for records that are
printed over several lines, and for arrays of records too large to be held.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+", re.DOTALL)
_BETWEEN = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+", re.DOTALL)
"""What is passed over inside a value, and between the values of an array: everything up to the next
bracket, comma, or string that the buffer holds only a part of.
"""
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_BLANK = re.compile(rb"[ \t\r\n]*")
_QUOTE, _COMMA, _BRACKET = b'",]'


class Value(NamedTuple):
    """One value: the line that it begins in, from 1, its bytes, and how many there are.

    ``data`` is None where there are more than the limit; ``head`` then has the first of them.
    ``closed`` is False for what is left when the stream ends within a value.
    """

    line: int
    data: bytes | None
    head: bytes
    length: int
    closed: bool


def split_values(
    pieces: Iterable[bytes], *, array: bool, max_bytes: int, head_bytes: int
) -> Iterator[Value]:
    """Yield the values of a stream.

    A value ends where its last bracket closes; in an array at the comma or bracket behind it, and
    what stands behind the array is a value too. The bytes are those of the stream, whether they are
    JSON or not. Of an array that is not closed the last value is not, though it may be empty.

    Args:
        pieces: The stream, in pieces of any size.
        array: Whether its values are the elements of one array; otherwise they follow each other.
        max_bytes: Longest value that is held.
        head_bytes: How much is kept of a longer one.
    """
    scan = _Scan(array, max_bytes, head_bytes)
    for piece in pieces:
        scan.take(piece)
        yield from scan.values()
    yield from scan.rest()


class _Scan:
    """A stream up to where it was looked at. The value that is being read begins at ``_begin`` of
    the buffer; ``_dropped`` bytes of it stood before the buffer.
    """

    def __init__(self, array: bool, max_bytes: int, head_bytes: int) -> None:
        self._array, self._max, self._head_bytes = array, max_bytes, head_bytes
        self._buffer = b""
        self._position = self._begin = 0
        self._line = self._first_line = 1  # at _begin, and where a value over the limit begins
        self._depth = 0
        self._in_string = False
        self._dropped = 0
        self._head = b""

    def take(self, piece: bytes) -> None:
        """Add a piece; what is done with goes, and of a value over the limit what was looked at."""
        keep = self._begin
        if self._dropped + len(self._buffer) - self._begin > self._max:
            if not self._dropped:
                self._first_line = self._line
            self._head = self._head or self._buffer[self._begin :][: self._head_bytes]
            self._dropped += self._position - self._begin
            self._line += self._buffer.count(b"\n", self._begin, self._position)
            keep = self._position
        self._buffer = self._buffer[keep:] + piece
        self._begin = 0
        self._position -= keep

    def values(self) -> Iterator[Value]:
        """The values that end in the buffer."""
        while self._advance():
            byte = self._buffer[self._position]
            self._position += 1
            if byte == _QUOTE:
                self._in_string = True  # it ends in a later piece
            elif byte == _COMMA:
                yield from self._cut(self._position - 1)
            elif byte in b"[{":
                self._depth += 1
                if self._array and self._depth == 1:
                    yield from self._cut(self._position - 1)
            elif self._depth > 0:
                self._depth -= 1
                if self._array and self._depth == 0:
                    # A brace in the place of the bracket is part of the value, which it spoils.
                    yield from self._cut(self._position - (byte == _BRACKET))
                    self._array = False
                elif self._depth == 0:
                    yield from self._cut(self._position)

    def rest(self) -> Iterator[Value]:
        """What is left when the stream ends."""
        self._position = len(self._buffer)
        left = list(self._cut(self._position))
        if not left and self._array and self._depth:
            left = [Value(self._line, b"", b"", 0, False)]
        yield from (value._replace(closed=False) for value in left)

    def _advance(self) -> bool:
        """Move to the next byte that matters; whether the buffer has one."""
        if self._in_string:
            self._pass(_IN_STRING)
            if self._buffer[self._position : self._position + 1] != b'"':
                return False
            self._position += 1
            self._in_string = False
        if not self._dropped:
            blank = _BLANK.match(self._buffer, self._begin, self._position)
            assert blank is not None
            self._start(blank.end())
        self._pass(_BETWEEN if self._array and self._depth == 1 else _INSIDE)
        return self._position < len(self._buffer)

    def _pass(self, pattern: re.Pattern[bytes]) -> None:
        match = pattern.match(self._buffer, self._position)
        assert match is not None, "the pattern matches nothing, too"
        self._position = match.end()

    def _cut(self, end: int) -> Iterator[Value]:
        """The value that ends at ``end``, if there is any; the next one begins behind it."""
        blank = _BLANK.match(self._buffer, self._begin, end)
        if blank is not None and not self._dropped:
            self._start(blank.end())
        data = self._buffer[self._begin : end].rstrip()
        length = self._dropped + len(data)
        over = length > self._max
        head = self._head or data[: self._head_bytes]
        line = self._line if not self._dropped else self._first_line
        if length:
            yield Value(line, None if over else data, head, length, True)
        self._dropped, self._head = 0, b""
        self._start(self._position)

    def _start(self, begin: int) -> None:
        self._line += self._buffer.count(b"\n", self._begin, begin)
        self._begin = begin
