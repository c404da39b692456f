"""Token ids of plain text, and the proof that they spell it."""

from __future__ import annotations

from array import array
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import orjson

from cbdata.rejects import Reject
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.render.written import byte_alphabet

NO_TEXT = b"\xff"  # not a byte of UTF-8


class Ids(NamedTuple):
    """The ids of a text: ``packed`` as native uint32, ``json`` as decimal numbers with commas."""

    packed: bytes
    json: bytes

    @classmethod
    def of(cls, ids: list[int]) -> Ids:
        """Both forms of some ids."""
        return cls(array("I", ids).tobytes(), orjson.dumps(ids)[1:-1])


class Encoding(Protocol):
    """What encodes plain texts, while the caller does something else or before it goes on."""

    def begin(self, texts: list[str]) -> Future[list[Ids]]:
        """The ids of each text, once they are there. What is begun first is there first. The
        result is a Reject if plain text became a control token, or if the tokens of a text do not
        spell it.
        """


class TextEncoder:
    """Encodes plain texts with a tokenizer that does not know its control tokens."""

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        """The vocabulary is read when the first text comes, if it was not before."""
        self._tokenizer = tokenizer
        self._control_ids = frozenset(token.id for token in tokenizer.control.values())
        self._spellings = _Spellings(tokenizer)

    def encode(self, texts: list[str]) -> list[Ids]:
        """The ids of each text, in one parallel batch. Raises Reject."""
        return list(map(Ids.of, self._encode(texts)))

    def begin(self, texts: list[str]) -> Future[list[Ids]]:
        """As ``Encoding`` says; they are there at once."""
        done: Future[list[Ids]] = Future()
        settle(done, self, texts)
        return done

    def _encode(self, texts: list[str]) -> list[list[int]]:
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
        normalizer = self._tokenizer.outline.normalizer
        if normalizer is not None and spelled == normalizer.normalize_str(text):
            return True
        return not self._tokenizer.byte_level and "".join(spelled.split()) == "".join(text.split())


class ThreadEncoder:
    """Encodes as ``TextEncoder`` does, in a thread of its own."""

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        """Begin with no text."""
        self._encoder = TextEncoder(tokenizer)
        self._pool = ThreadPoolExecutor(max_workers=1)

    def begin(self, texts: list[str]) -> Future[list[Ids]]:
        """The ids of each text, once they are there.

        Args:
            texts: As for ``Encoding``.
        """
        return self._pool.submit(self._encoder.encode, texts)


def settle(future: Future[list[Ids]], encoder: TextEncoder, texts: list[str]) -> None:
    """Encode texts and give a future the ids, or the error.

    Args:
        future: One that has no result.
        encoder: What encodes.
        texts: The texts.
    """
    try:
        future.set_result(encoder.encode(texts))
    except BaseException as error:  # a panic of the library is no Exception
        future.set_exception(error)


class _Spellings(dict[int, bytes]):
    """The bytes that a token of byte-level BPE stands for; one that no text has for other names."""

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        super().__init__()
        self._name = tokenizer.name

    def __missing__(self, token: int) -> bytes:
        name, alphabet = self._name(token), byte_alphabet()
        known = name is not None and alphabet.keys() >= set(name)
        spelled = self[token] = bytes(map(alphabet.__getitem__, name or "")) if known else NO_TEXT
        return spelled
