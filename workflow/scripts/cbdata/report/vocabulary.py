"""What each token id stands for, read from ``tokenizer.json`` alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class VocabularyError(ValueError):
    """A tokenizer file that has no vocabulary in a known form."""


def byte_letters() -> dict[str, int]:
    """The letters that byte-level BPE writes for bytes (GPT-2's table): printable Latin-1 as
    itself, the others from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in printable}
    rest = [byte for byte in range(0x100) if byte not in set(printable)]
    return letters | {chr(0x100 + index): byte for index, byte in enumerate(rest)}


BYTE_LETTERS = byte_letters()


@dataclass(frozen=True)
class Vocabulary:
    """Token pieces by id, the ids of control tokens, and how pieces become bytes."""

    pieces: dict[int, str]
    added: dict[int, str]
    special: frozenset[int]
    byte_level: bool

    def token_bytes(self, token: int) -> bytes | None:
        """The UTF-8 bytes that a token adds to a text, or None for an id that the tokenizer does
        not have.
        """
        if token in self.added:
            return self.added[token].encode()
        piece = self.pieces.get(token)
        if piece is None:
            return None
        if self.byte_level and all(letter in BYTE_LETTERS for letter in piece):
            return bytes(BYTE_LETTERS[letter] for letter in piece)
        if match := BYTE_PIECE.fullmatch(piece):
            return bytes([int(match[1], 16)])
        return piece.replace("\u2581", " ").encode("utf-8", "replace")

    def text(self, token: int) -> str | list[int]:
        """The text of a token; the list of its bytes where they are only part of a character;
        ``[]`` for an unknown id.
        """
        data = self.token_bytes(token)
        if data is None:
            return []
        try:
            return data.decode()
        except UnicodeDecodeError:
            return list(data)

    def table(self, tokens: Iterable[int]) -> dict[str, str | list[int]]:
        """``text`` of some tokens by id, as JSON wants its keys."""
        return {str(token): self.text(token) for token in sorted(set(tokens))}


def _pieces(model: dict[str, Any]) -> dict[int, str]:
    vocab = model.get("vocab")
    if isinstance(vocab, dict):
        return {index: piece for piece, index in vocab.items()}
    if isinstance(vocab, list):
        return {index: entry[0] for index, entry in enumerate(vocab)}
    raise VocabularyError(
        f"tokenizer model {model.get('type')!r}: expected a vocab that is an object or a list"
    )


def _is_byte_level(data: dict[str, Any]) -> bool:
    decoder = data.get("decoder") or {}
    return "ByteLevel" in {
        decoder.get("type"),
        *(part.get("type") for part in decoder.get("decoders", [])),
    }


def load_vocabulary(folder: str | Path) -> Vocabulary:
    """Read the vocabulary of a tokenizer directory. Raises VocabularyError or FileNotFoundError."""
    data = orjson.loads((Path(folder) / "tokenizer.json").read_bytes())
    added = {token["id"]: token["content"] for token in data.get("added_tokens", [])}
    special = frozenset(
        token["id"]
        for token in data.get("added_tokens", [])
        if token.get("special") or token["content"].strip()
    )
    return Vocabulary(_pieces(data["model"]), added, special, _is_byte_level(data))
