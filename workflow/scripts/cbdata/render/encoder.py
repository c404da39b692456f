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
from dataclasses import dataclass
from itertools import accumulate

import orjson

from cbdata.rejects import Reject
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.render.written import byte_alphabet

CACHE_CHARACTERS = 6_000_000  # of text; with ids and JSON about 12 bytes a character
DEEP = 100  # a position further inside a stretch is looked up in a table, one before it by counting
NO_TEXT = b"\xff"  # not a byte of UTF-8
LONG_SEGMENT = 2_000_000  # a longer stretch is encoded but not kept


@dataclass(slots=True)
class Segment:
    """The ids of one stretch: ``packed`` as native uint32, ``json`` as decimal numbers with commas,
    ``byte_ends`` on demand.
    """

    text: str
    packed: array[int]
    json: bytes
    byte_ends: array[int] | None = None


class _Widths(dict[int, int]):
    """Bytes of text that a token stands for, where each character of a token's name stands for one
    byte (byte-level BPE).
    """

    def __init__(self, tokenizer: PlainTokenizer, spellings: dict[int, bytes]) -> None:
        super().__init__(
            {token: len(text.encode("utf-8")) for text, token in tokenizer.text_tokens.items()}
        )
        self._name, self._spellings = tokenizer.model.id_to_token, spellings

    def __missing__(self, token: int) -> int:
        spelled = self._spellings.get(token, NO_TEXT)
        if spelled != NO_TEXT:
            width = self[token] = len(spelled)
            return width
        name = self._name(token)
        if name is None:
            raise KeyError(token)
        width = self[token] = len(name)
        return width


class _Spellings(dict[int, bytes]):
    """The bytes that a token of byte-level BPE stands for; one that no text has for other names."""

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        super().__init__()
        self._name = tokenizer.model.id_to_token

    def __missing__(self, token: int) -> bytes:
        name, alphabet = self._name(token), byte_alphabet()
        known = name is not None and alphabet.keys() >= set(name)
        spelled = self[token] = bytes(map(alphabet.__getitem__, name or "")) if known else NO_TEXT
        return spelled


class SegmentEncoder:
    """Encodes stretches of plain text, with a cache that is bounded by the characters in it.

    The cache is two generations: what is used moves to the young one, and when that is full the old
    one is dropped. It changes only what is encoded again, never a result.
    """

    def __init__(self, tokenizer: PlainTokenizer, cache_characters: int = CACHE_CHARACTERS) -> None:
        self._tokenizer = tokenizer
        self._control_ids = frozenset(token.id for token in tokenizer.control.values())
        self._young: dict[str, Segment] = {}
        self._old: dict[str, Segment] = {}
        self._half = cache_characters // 2
        self._characters = 0
        self._spellings = _Spellings(tokenizer)
        self._widths = _Widths(tokenizer, self._spellings)
        self.encoded_characters = 0
        self._control = {
            token.text: _segment("", [token.id]) for token in tokenizer.control.values()
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
        """The segments of the distinct ``texts``; new ones are encoded in one parallel batch.

        Raises Reject if plain text became a control token, or if the tokens of a text do not
        spell it.
        """
        found: dict[str, Segment] = {}
        new: dict[str, None] = {}
        for text in texts:
            if text in found or text in new:
                continue
            segment = self._young.get(text)
            if segment is None:
                segment = self._old.pop(text, None)
                if segment is None:
                    new[text] = None
                    continue
                self._keep(segment)
            found[text] = segment
        if new:
            fresh = list(new)
            for text, ids in zip(fresh, self._encode_new(fresh), strict=True):
                segment = found[text] = _segment(text, ids)
                self.encoded_characters += len(text)
                if len(text) <= LONG_SEGMENT:
                    self._keep(segment)
        return found

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
        if not self._spelled_as_is(text):
            return self._token_at_by_offsets(text, character, end)
        target = character if text.isascii() else len(text[:character].encode("utf-8"))
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

    def _encode_new(self, texts: list[str]) -> list[list[int]]:
        pattern = self._tokenizer.text_pattern
        if pattern is None:
            return self._encode_batch(texts)
        # White space that is an added token splits a text, too: plain, token, plain, ...
        rows = [pattern.split(text) for text in texts]
        plain = iter(self._encode_batch([piece for row in rows for piece in row[::2]]))
        tokens = self._tokenizer.text_ids
        return [
            [
                token
                for index, piece in enumerate(row)
                for token in ([tokens[piece]] if index & 1 else next(plain))
            ]
            for row in rows
        ]

    def _encode_batch(self, texts: list[str]) -> list[list[int]]:
        encodings = self._tokenizer.model.encode_batch_fast(texts, add_special_tokens=False)
        lists = [encoding.ids for encoding in encodings]
        del encodings
        self._verify(texts, lists)
        return lists

    def _keep(self, segment: Segment) -> None:
        if self._characters > self._half:
            self._old, self._young, self._characters = self._young, {}, 0
        self._young[segment.text] = segment
        self._characters += len(segment.text)

    def _verify(self, texts: list[str], lists: list[list[int]]) -> None:
        # Looking the tokens' bytes up takes a third of the time that decoding does.
        exact = [self._spells(text, ids) for text, ids in zip(texts, lists, strict=True)]
        odd = [ids for ids, same in zip(lists, exact, strict=True) if not same]
        decoded = iter(self._tokenizer.model.decode_batch(odd, skip_special_tokens=False))
        for text, ids, same in zip(texts, lists, exact, strict=True):
            spelled = text if same else next(decoded)
            if not self._control_ids.isdisjoint(ids):
                raise Reject(
                    "control_token_from_text", f"plain text became a control token in {text[:80]!r}"
                )
            if spelled != text and not self._same_text(text, spelled):
                raise Reject(
                    "tokens_do_not_spell_text", f"{text[:80]!r} came back as {spelled[:80]!r}"
                )

    def _spells(self, text: str, ids: list[int]) -> bool:
        """Whether the bytes of the tokens are those of the text, as far as they are known."""
        if not self._tokenizer.byte_level:
            return False
        return b"".join(map(self._spellings.__getitem__, ids)) == text.encode("utf-8")

    def _same_text(self, text: str, spelled: str) -> bool:
        """Equal but for what the tokenizer is meant to change."""
        normalizer = self._tokenizer.model.normalizer
        if normalizer is not None and spelled == normalizer.normalize_str(text):
            return True
        return not self._tokenizer.byte_level and "".join(spelled.split()) == "".join(text.split())

    def _spelled_as_is(self, text: str) -> bool:
        return self._tokenizer.byte_level and (
            not self._tokenizer.normalises
            or text.isascii()
            or unicodedata.is_normalized("NFC", text)
        )

    def _token_at_by_offsets(self, text: str, character: int, end: bool) -> int:
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
        if end:
            return max(
                (index + 1 for index, (start, _) in enumerate(offsets) if start < character),
                default=0,
            )
        return min(
            (index for index, (_, stop) in enumerate(offsets) if stop > character),
            default=len(offsets),
        )


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


def _segment(text: str, ids: list[int]) -> Segment:
    return Segment(text, array("I", ids), orjson.dumps(ids)[1:-1])
