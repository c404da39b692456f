"""What token ids spell, and which characters each of them holds.

For ids that a model wrote: nothing is tokenised again, because the tokenizer would often have cut
the same text otherwise.
"""

from __future__ import annotations

import codecs
import re
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import NamedTuple

from cbdata.rejects import Reject
from cbdata.render.tokenizer import PlainTokenizer

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
REPLACEMENT = "\ufffd"  # what decoders print for bytes that are no UTF-8

Places = list[tuple[int, int]]
"""For each token of a stretch the characters ``[start, end)`` that it holds at least a byte of."""


class Run(NamedTuple):
    """Ids ``[first, last)`` of a completion: one control token, or a stretch between two of them
    that spells ``text``.
    """

    first: int
    last: int
    text: str
    control: bool


@dataclass(frozen=True, slots=True)
class Written:
    """Token ids and what they spell: token ``i`` holds the characters ``[starts[i], ends[i])`` of
    ``text``.

    A character whose bytes are spread over several tokens lies in all of them.
    """

    text: str
    ids: list[int]
    starts: array[int]
    ends: array[int]
    runs: list[Run]

    def start(self, character: int) -> int:
        """The first token of a span that starts at this character."""
        return bisect_right(self.ends, character) if character else 0

    def end(self, character: int) -> int:
        """One past the last token of a span that ends at this character."""
        if character >= len(self.text):
            return len(self.ids)
        return bisect_left(self.starts, character)


class Speller:
    """Spells token ids of one tokenizer: byte-level BPE, SentencePiece with byte fallback, or plain
    words; added tokens as they are written.
    """

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        self._tokenizer = tokenizer
        self._controls = {token.id: token.text for token in tokenizer.control.values()}
        white = {token: text for text, token in tokenizer.text_tokens.items()}
        self._added = self._controls | white
        decoder = tokenizer.outline.decoder
        self._byte_tokens = decoder is not None and decoder.decode(["<0x41>"]) == "A"
        self._bytes: dict[int, bytes] = {}
        self._words: dict[int, str] = {}

    def spell(self, ids: Sequence[int]) -> Written:
        """The text of the ids as ``Renderer.decode`` gives it, and the characters of each.

        Raises:
            Reject: The tokenizer has no such id, or decodes the ids in a way that is not known
                here.
        """
        starts, ends = array("I"), array("I")
        runs: list[Run] = []
        position = 0
        for first, last, text, places in self._stretches(ids):
            for low, high in places:
                starts.append(position + low)
                ends.append(position + high)
            runs.append(Run(first, last, text, ids[first] in self._controls))
            position += len(text)
        return Written("".join(run.text for run in runs), list(ids), starts, ends, runs)

    def _stretches(self, ids: Sequence[int]) -> Iterator[tuple[int, int, str, Places]]:
        """The added tokens one by one, and the stretches between them, each as ``(first, last,
        text, places)``.
        """
        first = 0
        for added, group in groupby(ids, lambda token: token in self._added):
            run = list(group)
            if added:
                for number, token in enumerate(run, start=first):
                    text = self._added[token]
                    yield number, number + 1, text, [(0, len(text))]
            elif self._tokenizer.byte_level:
                yield first, first + len(run), *spell_bytes([self._bytes_of(each) for each in run])
            else:
                yield first, first + len(run), *self._spell_words(run)
            first += len(run)

    def _bytes_of(self, token: int) -> bytes:
        """What a token of byte-level BPE stands for: each character of its name is one byte."""
        known = self._bytes.get(token)
        if known is None:
            name, alphabet = self._name(token), byte_alphabet()
            spelled = all(character in alphabet for character in name)
            known = self._bytes[token] = (
                bytes([alphabet[character] for character in name]) if spelled else name.encode()
            )
        return known

    def _spell_words(self, run: list[int]) -> tuple[str, Places]:
        """A stretch of a tokenizer whose tokens are characters, some of them ``<0x..>`` bytes."""
        text, places = "", Places()
        for is_byte, group in groupby(run, self._is_byte):
            tokens = list(group)
            if is_byte:
                some, inside = _spell_fallback([self._name(token) for token in tokens])
            else:
                some, inside = _spell_each([self._word(token) for token in tokens])
            places += [(len(text) + low, len(text) + high) for low, high in inside]
            text += some
        decoded = self._tokenizer.model.decode(run, skip_special_tokens=False)
        if text == decoded:
            return text, places
        if text == " " + decoded:  # the space before the first word, which some decoders leave out
            return decoded, [(max(low - 1, 0), max(high - 1, 0)) for low, high in places]
        raise Reject(
            "completion_not_spelled",
            f"the tokenizer decodes {decoded[:60]!r}, token by token it is {text[:60]!r}",
        )

    def _is_byte(self, token: int) -> bool:
        return self._byte_tokens and BYTE_TOKEN.fullmatch(self._name(token)) is not None

    def _word(self, token: int) -> str:
        """The text of a token behind another one."""
        known = self._words.get(token)
        if known is None:
            name, decoder = self._name(token), self._tokenizer.outline.decoder
            # Behind a letter, because decoders leave out a space before the first word.
            shown = decoder.decode(["x", name]) if decoder is not None else f"x {name}"
            known = self._words[token] = shown[1:]
        return known

    def _name(self, token: int) -> str:
        name = self._tokenizer.name(token)
        if name is None:
            raise Reject("completion_not_spelled", f"the tokenizer has no token {token}")
        return name


def spell_bytes(tokens: Sequence[bytes]) -> tuple[str, Places]:
    """UTF-8 whose bytes are cut into tokens anywhere: the text, and the places of the tokens.

    What is no UTF-8 becomes one U+FFFD for each longest beginning of a character, as decoders do. A
    character lies in every token that holds one of its bytes.
    """
    data = b"".join(tokens)
    _broken.stretches = []
    text = data.decode("utf-8", NOTE_BROKEN)
    broken = iter(_broken.stretches)
    start, end = next(broken, (-1, -1))
    edges = [0]
    for char in text:
        if edges[-1] == start:
            edges.append(end)
            start, end = next(broken, (-1, -1))
        else:
            edges.append(edges[-1] + len(char.encode()))
    places: Places = []
    position = 0
    for token in tokens:
        first = bisect_right(edges, position, lo=1) - 1
        position += len(token)
        places.append((first, max(first, bisect_left(edges, position, hi=len(edges) - 1))))
    return text, places


NOTE_BROKEN = "cbdata.render.written.note_broken"
_broken = threading.local()


def _note_broken(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler that replaces and notes the bytes that are no character."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    _broken.stretches.append((error.start, error.end))
    return REPLACEMENT, error.end


codecs.register_error(NOTE_BROKEN, _note_broken)


def _spell_each(words: Sequence[str]) -> tuple[str, Places]:
    places: Places = []
    position = 0
    for word in words:
        places.append((position, position + len(word)))
        position += len(word)
    return "".join(words), places


def _spell_fallback(names: Sequence[str]) -> tuple[str, Places]:
    """A stretch of ``<0x..>`` tokens: UTF-8, or one U+FFFD for every token where it is none."""
    tokens = [bytes.fromhex(name[3:5]) for name in names]
    text, places = spell_bytes(tokens)
    try:
        b"".join(tokens).decode()
    except UnicodeDecodeError:
        return _spell_each([REPLACEMENT] * len(tokens))
    return text, places


@cache
def byte_alphabet() -> dict[str, int]:
    """The characters that byte-level BPE writes for bytes (GPT-2's table): printable Latin-1 stands
    for itself, the other 68 bytes for U+0100 and on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    own = {chr(byte): byte for byte in printable}
    return own | {chr(0x100 + number): byte for number, byte in enumerate(others)}
