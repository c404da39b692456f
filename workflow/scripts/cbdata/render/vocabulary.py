"""A tokenizer of the tokenizers library from the bytes of its file, in less memory for a large
vocabulary.

The library keeps three copies of a model's JSON while it reads it: 371 MiB for Gemma 3's file of 31
MiB. Handed over as Python's own objects, the same vocabulary and merges take 280 MiB at the most,
and more time, so smaller files are left to the library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
from tokenizers import Tokenizer, models

from cbdata.garbage import rare_collections

LARGE = 16 << 20
"""Bytes of a file from which on it is read here: the library needs ten times as much memory."""
BLOCK = 1 << 20
FIELDS = frozenset(
    (
        "dropout",
        "unk_token",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "fuse_unk",
        "byte_fallback",
        "ignore_merges",
    )
)
PARTS = frozenset(("normalizer", "pre_tokenizer", "decoder"))
_MODEL = re.compile(rb'"model"\s*:\s*(?={)')
_ANY_MERGES = re.compile(rb'"merges"\s*:\s*\[')
_MERGES = re.compile(rb'"merges"\s*:\s*\[(?=\s*\[)')
_END = re.compile(rb"\]\s*\}\s*\}\s*\Z")
_COMMA = re.compile(rb"\s*,")
_EMPTY = b'{"type":"BPE","vocab":{},"merges":[]}}'


def read_tokenizer(data: bytes, *, large: int = LARGE, block: int = BLOCK) -> Tokenizer:
    """The tokenizer that a tokenizer.json without added tokens describes. Raises what the library
    raises.

    Args:
        data: The file, with an empty list of added tokens.
        large: Bytes from which on a BPE model is handed over as Python's objects.
        block: Bytes of merges that are read at a time.
    """
    model = _MODEL.search(data) if len(data) >= large else None
    bpe = _bpe(data, model.end(), block) if model else None
    if model is None or bpe is None:
        return Tokenizer.from_buffer(data)
    tokenizer = Tokenizer.from_buffer(data[: model.end()] + _EMPTY)
    tokenizer.model = bpe
    return tokenizer


class Outline(NamedTuple):
    """What is known of a tokenizer before its vocabulary is read.

    - ``tokenizer``: normaliser, pre-tokenizer and decoder, with an empty vocabulary
    - ``ids``: each entry of the vocabulary -> its id
    """

    tokenizer: Tokenizer
    ids: dict[str, int]


def outline_of(data: bytes, *, large: int = LARGE) -> Outline | None:
    """The outline of a BPE tokenizer of common size, in a tenth of the time that all of it takes.
    None where it is of another kind, large, or written otherwise than the library writes it.

    Args:
        data: The file, with an empty list of added tokens.
        large: Bytes from which on a file is none of common size.
    """
    model = _MODEL.search(data) if len(data) < large else None
    merges = _ANY_MERGES.search(data, model.end()) if model else None
    if model is None or merges is None:
        return None
    try:
        if PARTS - orjson.loads(data[: model.end()] + b"{}}").keys():  # behind the model, it may be
            return None
        fields = orjson.loads(data[model.end() : merges.end()] + b"]}")
        if fields.get("type") != "BPE" or not fields.get("vocab"):
            return None
        return Outline(Tokenizer.from_buffer(data[: model.end()] + _EMPTY), fields["vocab"])
    except Exception:  # the library raises no other class; who reads the whole file meets it again
        return None


def _bpe(data: bytes, start: int, size: int) -> models.BPE | None:
    """The BPE model of which the JSON stands at ``start`` and takes up the rest of the file, read
    in blocks of ``size`` bytes; None where it is of another kind or written otherwise than the
    library writes it.
    """
    merges, end = _MERGES.search(data, start), _END.search(data, max(start, len(data) - 1024))
    if merges is None or end is None:
        return None
    try:
        with rare_collections():
            fields: dict[str, Any] = orjson.loads(data[start : merges.end()] + b"]}")
            vocabulary: dict[str, int] = fields.pop("vocab")
            del fields["merges"]
            if fields.pop("type", None) != "BPE" or fields.keys() - FIELDS:
                return None
            same = dict(zip(vocabulary, vocabulary, strict=True))  # one object for equal texts
            pairs = [
                (same[left], same[right])
                for block in _blocks(data, merges.end(), end.start(), size)
                for left, right in block
            ]
            del same
            given = {key: value for key, value in fields.items() if value is not None}
            return models.BPE(vocab=vocabulary, merges=pairs, **given)
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError):
        return None


def _blocks(data: bytes, start: int, end: int, size: int) -> Iterator[list[Any]]:
    """The items of the JSON list of lists ``data[start:end]``, which has no brackets around it, in
    blocks of at least ``size`` bytes. A block that is cut at a bracket in a string is no JSON, and
    is made longer. Raises JSONDecodeError.
    """
    while start < end:
        cut = data.find(b"]", min(start + size, end), end) + 1 or end
        while True:
            try:
                block = orjson.loads(b"[" + data[start:cut] + b"]")
                break
            except orjson.JSONDecodeError:
                if cut == end:
                    raise
                cut = data.find(b"]", cut, end) + 1 or end
        yield block
        comma = _COMMA.match(data, cut, end)
        start = comma.end() if comma else end
