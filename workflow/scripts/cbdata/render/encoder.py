"""Token ids by encoding each distinct stretch of plain text once.

Control tokens split a text before anything else happens to it, so the ids of the whole are the ids
of the stretches between them, joined. Agent transcripts repeat themselves (system prompts, tool
results, shared beginnings): about a quarter of the characters of the AgentDojo runs are distinct.
"""

from __future__ import annotations

import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import accumulate

from cbdata.rejects import Reject
from cbdata.render.text_encoder import Encoding, Ids, TextEncoder
from cbdata.render.tokenizer import PlainTokenizer

CACHE_CHARACTERS = 6_000_000  # of text; with ids and JSON about 12 bytes a character
DEEP = 100  # a position further inside a stretch is looked up in a table, one before it by counting
LONG_SEGMENT = 2_000_000  # a longer stretch is encoded but not kept


@dataclass(slots=True)
class Segment:
    """The ids of one stretch: ``packed`` as native uint32, ``json`` as decimal numbers with commas;
    on demand ``byte_ends`` of its tokens, ``byte_marks``: the bytes before every ``DEEP``-th
    character, and ``spelled_as_is``: whether its tokens spell it byte by byte; if
    they do not, ``offsets``: the least start of a token or one behind it, and the greatest end of
    it or one before it.
    """

    text: str
    packed: array[int]
    json: bytes
    byte_ends: array[int] | None = None
    byte_marks: list[int] | None = None
    spelled_as_is: bool | None = None
    offsets: tuple[list[int], list[int]] | None = None

    def bytes_before(self, character: int) -> int:
        """Bytes of UTF-8 before a character; not counted from the start of a long text each
        time.
        """
        text = self.text
        if text.isascii():
            return character
        if character <= DEEP:
            return len(text[:character].encode("utf-8"))
        if self.byte_marks is None:
            widths = [len(text[at : at + DEEP].encode("utf-8")) for at in range(0, len(text), DEEP)]
            self.byte_marks = [*accumulate(widths, initial=0)]
        mark = character // DEEP
        return self.byte_marks[mark] + len(text[mark * DEEP : character].encode("utf-8"))


class _Widths(dict[int, int]):
    """Bytes of text that a token stands for, where each character of a token's name stands for one
    byte (byte-level BPE).
    """

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        super().__init__(
            {token: len(text.encode("utf-8")) for text, token in tokenizer.text_tokens.items()}
        )
        self._name = tokenizer.name

    def __missing__(self, token: int) -> int:
        name = self._name(token)
        if name is None:
            raise KeyError(token)
        width = self[token] = len(name)
        return width


class Batch:
    """Texts that are being encoded together.

    - ``found``: text -> its segment, where that is known
    - ``new``: texts that this batch asked for, as keys
    - ``waits``: text -> the earlier batch that asked for it
    """

    def __init__(self, encoder: SegmentEncoder) -> None:
        """Begin with no text; ``SegmentEncoder.begin`` puts them in."""
        self._encoder = encoder
        self.found: dict[str, Segment] = {}
        self.new: dict[str, None] = {}
        self.waits: dict[str, Batch] = {}
        self.begun: Future[list[Ids]] | None = None
        self.failed: Reject | None = None

    @property
    def is_ready(self) -> bool:
        """Whether ``segments`` need not wait. What was begun earlier is ready earlier."""
        return self.begun is None or self.begun.done()

    def segments(self) -> dict[str, Segment]:
        """The segment of each text.

        Raises:
            Reject: Plain text became a control token, or the tokens of a text do not spell it.
        """
        self._encoder.take(self)
        if self.failed:
            raise self.failed
        for batch in self.waits.values():
            self._encoder.take(batch)
        self.found |= {
            text: batch.found[text] for text, batch in self.waits.items() if text in batch.found
        }
        # An earlier batch may have failed for a text that is none of this one's.
        again = [text for text in self.waits if text not in self.found]
        self.waits = {}
        if again:
            try:
                self.found |= self._encoder.encode(again)
            except Reject as error:
                self.failed = error
                raise
        return self.found


class SegmentEncoder:
    """Encodes stretches of plain text, with a cache that is bounded by the characters in it.

    The cache is two generations: what is used moves to the young one, and when that is full the old
    one is dropped. It changes only what is encoded again, never a result.
    """

    def __init__(
        self,
        tokenizer: PlainTokenizer,
        cache_characters: int = CACHE_CHARACTERS,
        encoding: Encoding | None = None,
    ) -> None:
        """Begin with an empty cache.

        Args:
            tokenizer: The tokenizer without its control tokens.
            cache_characters: Characters of text whose ids are kept.
            encoding: What encodes new texts with that tokenizer; made here if None.
        """
        self._tokenizer = tokenizer
        self._encoding = encoding or TextEncoder(tokenizer)
        self._young: dict[str, Segment] = {}
        self._old: dict[str, Segment] = {}
        self._half = cache_characters // 2
        self._characters = 0
        self._coming: dict[str, Batch] = {}
        self._widths = _Widths(tokenizer)
        self.encoded_characters = 0
        self._control = {
            token.text: _segment("", Ids.of([token.id])) for token in tokenizer.control.values()
        }

    @property
    def cached_characters(self) -> int:
        """Characters of text that are in the cache now; at most a stretch in each generation above
        the bound.
        """
        return sum(map(len, self._young)) + sum(map(len, self._old))

    def control(self, text: str) -> Segment:
        """The one-token segment of a control token, with the white space around it that the token
        swallows.
        """
        return self._control[text] if text in self._control else self._control[text.strip()]

    def encode(self, texts: Iterable[str]) -> dict[str, Segment]:
        """The segments of the distinct ``texts``; new ones are encoded in one batch.

        Raises Reject if plain text became a control token, or if the tokens of a text do not
        spell it.
        """
        return self.begin(texts).segments()

    def begin(self, texts: Iterable[str]) -> Batch:
        """Have the new ones of the distinct ``texts`` encoded."""
        batch = Batch(self)
        for text in texts:
            if text in batch.found or text in batch.waits or text in batch.new:
                continue
            segment = self._young.get(text)
            if segment is None:
                segment = self._old.pop(text, None)
                if segment is None:
                    if text in self._coming:
                        batch.waits[text] = self._coming[text]
                    else:
                        batch.new[text] = None
                        self._coming[text] = batch
                    continue
                self._keep(segment)
            batch.found[text] = segment
        if batch.new:
            batch.begun = self._encoding.begin(list(batch.new))
        return batch

    def take(self, batch: Batch) -> None:
        """Wait for the new texts of a batch, and keep them unless it failed."""
        if batch.begun is None:
            return
        begun, batch.begun = batch.begun, None
        for text in batch.new:
            del self._coming[text]
        try:
            answer = begun.result()
        except Reject as error:
            batch.failed = error
            return
        for text, ids in zip(batch.new, answer, strict=True):
            segment = batch.found[text] = _segment(text, ids)
            self.encoded_characters += len(text)
            if len(text) <= LONG_SEGMENT:
                self._keep(segment)

    def token_at(self, segment: Segment, character: int, *, end: bool) -> int:
        """The token index of a boundary inside a segment, for a span that takes in every token it
        overlaps.

        A character that is split into several tokens lies in all of them. Bytes are counted where
        the tokens' names tell their lengths; the tokenizer's own offsets serve where they do not,
        or where the text is changed before tokenising.

        Args:
            segment: An encoded stretch of plain text.
            character: A position in its text.
            end: Whether the boundary ends a span. False gives the first token that ends after
                ``character``; True gives one past the last token that starts before it.
        """
        text = segment.text
        if character <= 0:
            return 0
        if character >= len(text):
            return len(segment.packed)
        if segment.spelled_as_is is None:
            segment.spelled_as_is = self._spelled_as_is(text)
        if not segment.spelled_as_is:
            if segment.offsets is None:
                segment.offsets = self._offsets(text)
            starts, stops = segment.offsets
            return bisect_left(starts, character) if end else bisect_right(stops, character)
        target = segment.bytes_before(character)
        if character > DEEP:
            if segment.byte_ends is None:
                segment.byte_ends = array(
                    "I", accumulate(map(self._widths.__getitem__, segment.packed))
                )
            return (
                bisect_left(segment.byte_ends, target) + 1
                if end
                else bisect_right(segment.byte_ends, target)
            )
        widths, total = self._widths, 0
        for index, token in enumerate(segment.packed):
            if total >= target:
                return index if end or total == target else index - 1
            total += widths[token]
        return len(segment.packed) if end else len(segment.packed) - 1

    def _keep(self, segment: Segment) -> None:
        if self._characters > self._half:
            self._old, self._young, self._characters = self._young, {}, 0
        self._young[segment.text] = segment
        self._characters += len(segment.text)

    def _spelled_as_is(self, text: str) -> bool:
        return self._tokenizer.byte_level and (
            not self._tokenizer.normalises
            or text.isascii()
            or unicodedata.is_normalized("NFC", text)
        )

    def _offsets(self, text: str) -> tuple[list[int], list[int]]:
        offsets: list[tuple[int, int]] = []
        position = 0
        for index, piece in enumerate(
            self._tokenizer.text_pattern.split(text) if self._tokenizer.text_pattern else [text]
        ):
            found = (
                [(0, len(piece))]
                if index & 1
                else self._tokenizer.model.encode(piece, add_special_tokens=False).offsets
            )
            offsets += [
                (position + start, position + stop)
                for start, stop in _without_gaps(found, len(piece))
            ]
            position += len(piece)
        starts = [*accumulate((start for start, _ in reversed(offsets)), min)][::-1]
        return starts, [*accumulate((stop for _, stop in offsets), max)]


def _without_gaps(offsets: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """Offsets of tokens in which every character up to the next token belongs to the last one.

    A normaliser that puts two characters into one (NFC: e and an accent) leaves the second one out
    of every token's offsets.

    Args:
        offsets: Half-open, in order; several tokens may share a character.
        length: The number of characters of the text.
    """
    filled: list[tuple[int, int]] = []
    following, last = length, length
    for start, stop in reversed(offsets):
        if start < last:
            following, last = last, start
        filled.append((start, max(stop, following)))
    return filled[::-1]


def _segment(text: str, ids: Ids) -> Segment:
    packed = array("I")
    packed.frombytes(ids.packed)
    return Segment(text, packed, ids.json)
