"""Which records of a skeleton file a shard has: the same work for every shard, and those that share
a long prompt together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cbdata.ids import digest, part_of, shard_of
from cbdata.jsonl import read_records
from cbdata.lookup import Place, RecordFiles, read_places

Name = Callable[[int, Mapping[str, Any]], str]
"""The id of a record, or a stand-in, by its line and content."""

PrefixKey = tuple[str, str]


def prefix_key(record: Mapping[str, Any]) -> PrefixKey:
    """What records have in common whose prompts begin alike: digests of the tools, and of the
    messages up to the first one of the user.
    """
    messages = record.get("messages")
    messages = messages if isinstance(messages, list) else []
    roles = [each.get("role") if isinstance(each, dict) else None for each in messages]
    metadata = record.get("raw_metadata")
    named = metadata.get("tool_schema_ref") if isinstance(metadata, dict) else None
    until = roles.index("user") + 1 if "user" in roles else len(roles)
    return digest(record.get("tools") or named), digest(messages[:until])


def shard_records(
    path: str,
    name: Name,
    limit: int | None,
    shard: int,
    shards: int,
    part: int = 0,
    parts: int = 1,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield one shard's records with their lines, in file order.

    A record goes where the hash of its id says. In a file of decision points, which its first
    record shows, the records are put into an order in which those with one prefix stand side by
    side instead, and this order is cut into shards of the same work: a prefix is in two shards only
    where a cut goes through it. Copies of an id are in the shard of the first one.

    The parts of a shard together are the shard, whatever their number, and are cut alike.

    Args:
        path: The file.
        name: The id of a record.
        limit: Only the first so many records take part; None for all.
        shard: The shard, in ``[0, shards)``.
        shards: How many shards the records are divided among.
        part: The part of the shard, in ``[0, parts)``.
        parts: How many parts each shard is divided into.
    """
    if shards * parts == 1:
        yield from selected_records(path, limit)
        return
    own: list[Place] = []
    first: dict[str, tuple[PrefixKey, int, int]] = {}
    named: list[tuple[str, Place]] = []
    together = False
    for place, record in read_places(path):
        if limit is not None and place.line > limit:
            break
        together = together or (place.line == 1 and "decision_point" in record)
        trace_id = name(place.line, record)
        if together:
            named.append((trace_id, place))
            if trace_id not in first:
                first[trace_id] = (prefix_key(record), place.line, place.length)
        elif shard_of(trace_id, shards) == shard and part_of(trace_id, shards, parts) == part:
            own.append(place)
    order = sorted(first, key=first.__getitem__)
    cuts = even_cuts([first[trace_id][2] for trace_id in order], shards * parts)
    wanted = shard * parts + part
    here = {trace_id for trace_id, cut in zip(order, cuts, strict=True) if cut == wanted}
    own += [place for trace_id, place in named if trace_id in here]
    with RecordFiles() as index:
        for place in own:
            yield place.line, index.read(place)


def even_cuts(lengths: Sequence[int], shards: int) -> list[int]:
    """The shard of each record, where records in their order are cut into shards of the same work.

    A record counts half by its number, for the completions that it gets, and half by its length,
    for the prompt that the engine has to read.

    Args:
        lengths: Bytes of each record.
        shards: How many shards there are.
    """
    total = sum(lengths)
    work = [len(lengths) * length + total for length in lengths]
    ends = itertools.accumulate(work)
    # Where the middle of a record lies, in halves of a unit of work.
    middles = (2 * end - own for end, own in zip(ends, work, strict=True))
    whole = 2 * sum(work)
    return [middle * shards // whole for middle in middles]


def selected_records(path: str, limit: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the first ``limit`` records of a file (None: all), each with its line."""
    for line, record in read_records(path):
        if limit is not None and line > limit:
            return
        yield line, record
