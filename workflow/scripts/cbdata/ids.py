"""Identities, seeds and assignments, all derived by SHA-256 from content, so that order, shards and
resumes cannot change them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson


def canonical_json(value: Any) -> bytes:
    """The bytes that ids are hashed over: keys sorted, no spaces, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(value: Any) -> str:
    """SHA-256 (64 hex digits) over the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def trace_id(
    dataset: str, role: str, messages: Sequence[Mapping[str, Any]], salt: Any = None
) -> str:
    """The id of a trace, ``trace_{dataset}_{32 hex}``.

    Args:
        dataset: The source's name.
        role: What the trace is: skeleton, ds, dr or complete.
        messages: Every message with its tool calls.
        salt: What else makes two records different ones, such as the pipeline of a transcript.
    """
    body = {"dataset": dataset, "role": role, "messages": messages}
    if salt is not None:
        body["salt"] = salt
    return f"trace_{dataset}_{digest(body)[:32]}"


def derived_id(kind: str, *parts: Any) -> str:
    """``{kind}_{32 hex}`` over the parts, for renders and loss masks."""
    return f"{kind}_{digest(parts)[:32]}"


def token_ids_sha256(ids: Sequence[int]) -> str:
    """SHA-256 of token ids as little-endian uint32: how a fill prompt and the prompt part of a
    render are compared.
    """
    import array
    import sys

    packed = array.array("I", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return hashlib.sha256(packed.tobytes()).hexdigest()


def request_seed(seed: int, trace: str, mode: str, attempt: int) -> int:
    """The sampling seed of one request, the same whatever the batch, the shard or the resume.

    Args:
        seed: The seed of the run.
        trace: The id of the skeleton.
        mode: ds or dr.
        attempt: The number of the attempt, from 1.

    Returns:
        A number in [0, 2**31).
    """
    return int(digest([seed, trace, mode, attempt])[:8], 16) & 0x7FFFFFFF


def shard_of(trace: str, shards: int) -> int:
    """The shard in [0, shards) of a trace."""
    return int(digest(["shard", trace])[:16], 16) % shards


def part_of(trace: str, shards: int, parts: int) -> int:
    """The part in [0, parts) of its shard that a trace is in, where each of ``shards`` shards is
    divided again; independent of the shard.
    """
    return int(digest(["shard", trace])[:16], 16) // shards % parts


def fraction_of(key: str) -> float:
    """A number in [0, 1) that depends on the key alone, for split assignment."""
    return int(digest(["split", key])[:13], 16) / 16**13
