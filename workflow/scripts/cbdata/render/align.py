"""From character positions in a rendered text to positions in its token ids."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

import orjson

from cbdata.ids import token_ids_sha256
from cbdata.render.encoder import Segment, SegmentEncoder


class TokenizedText:
    """A rendered text as a row of segments: plain stretches and control tokens, with characters and
    tokens counted.
    """

    __slots__ = ("_encoder", "char_starts", "length", "segments", "token_starts")

    def __init__(self, pieces: Sequence[tuple[int, Segment]], encoder: SegmentEncoder) -> None:
        """``pieces``: the character at which each segment starts, and the segment; in order,
        without gaps.
        """
        self._encoder = encoder
        self.char_starts = [start for start, _ in pieces]
        self.segments = [segment for _, segment in pieces]
        self.token_starts: list[int] = []
        total = 0
        for segment in self.segments:
            self.token_starts.append(total)
            total += len(segment.packed)
        self.length = total

    def start(self, character: int) -> int:
        """The first token of a span that starts at this character: tokens that it cuts through
        count as inside.
        """
        return self._token_at(character, end=False)

    def end(self, character: int) -> int:
        """One past the last token of a span that ends at this character."""
        return self._token_at(character, end=True)

    def _token_at(self, character: int, *, end: bool) -> int:
        index = bisect_right(self.char_starts, character) - 1
        if index < 0:
            return 0
        inside = character - self.char_starts[index]
        if not inside:
            return self.token_starts[index]
        return self.token_starts[index] + self._encoder.token_at(
            self.segments[index], inside, end=end
        )

    def packed(self, start: int = 0, end: int | None = None) -> array[int]:
        """Token ids ``[start, end)``."""
        end = self.length if end is None else end
        first = max(bisect_right(self.token_starts, start) - 1, 0)
        out = array("I")
        for segment in self.segments[first : bisect_left(self.token_starts, end)]:
            out += segment.packed
        before = self.token_starts[first] if first else 0
        return out[start - before : end - before]

    def ids(self, start: int = 0, end: int | None = None) -> list[int]:
        """Token ids ``[start, end)`` as a list."""
        return self.packed(start, end).tolist()

    def ids_json(self, start: int = 0, end: int | None = None) -> bytes:
        """Token ids ``[start, end)`` as decimal numbers with commas."""
        if start == 0 and (end is None or end >= self.length):
            return b",".join([segment.json for segment in self.segments if segment.json])
        return orjson.dumps(self.ids(start, end))[1:-1]

    def sha256(self, end: int) -> str:
        """The hash of the first ``end`` token ids, as ``ids.token_ids_sha256`` takes it."""
        return token_ids_sha256(self.packed(0, end))


def split(text: str, pieces: Sequence[str]) -> list[tuple[int, int, str]]:
    """The control tokens of ``pattern.split(text)`` (plain, token, plain, ...) as ``(start, end,
    text)``.

    The positions take in white space that a token swallows, the text does not.
    """
    ends = [*accumulate(map(len, pieces))]
    return [
        (start, stop, piece.strip())
        for start, stop, piece in zip(ends[::2], ends[1::2], pieces[1::2], strict=False)
    ]


def assemble(
    pieces: Sequence[str], segments: Mapping[str, Segment], encoder: SegmentEncoder
) -> TokenizedText:
    """Put encoded segments in the order of the text.

    Args:
        pieces: The text as plain text and control tokens in turn, beginning with plain text.
        segments: The segments of the plain pieces, by their text.
        encoder: Knows the segments of control tokens.
    """
    row = []
    position = 0
    for index, piece in enumerate(pieces):
        if piece:
            row.append((position, encoder.control(piece) if index & 1 else segments[piece]))
            position += len(piece)
    return TokenizedText(row, encoder)
