"""Which records of a skeleton file a shard has: the same work for every shard, and those that share
a long prompt together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cbdata.disk_table import Row, naming_temporary, selected, temporary_database
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
    points: _PointOrder | None = None
    for place, record in read_places(path):
        if limit is not None and place.line > limit:
            break
        if place.line == 1 and "decision_point" in record:
            points = _PointOrder(path)
        trace_id = name(place.line, record)
        if points is not None:
            points.add(trace_id, place, prefix_key(record))
        elif shard_of(trace_id, shards) == shard and part_of(trace_id, shards, parts) == part:
            own.append(place)
    if points is not None:
        own = points.cut(shard * parts + part, shards * parts)
    with RecordFiles() as index:
        for place in own:
            yield place.line, index.read(place)


class _PointOrder:
    """The decision points of a file in the order in which they are cut into shards; on disk, so
    that the memory of a shard does not grow with the file.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._database = temporary_database(
            "CREATE TABLE points (line INTEGER PRIMARY KEY, id TEXT NOT NULL, tools TEXT,"
            " messages TEXT, start INTEGER, length INTEGER); CREATE INDEX ids ON points (id);"
        )

    def add(self, trace_id: str, place: Place, prefix: PrefixKey) -> None:
        """Take in a record."""
        row = (place.line, trace_id, *prefix, place.offset, place.length)
        with naming_temporary():
            self._database.execute("INSERT INTO points VALUES (?, ?, ?, ?, ?, ?)", row)

    def cut(self, wanted: int, cuts: int) -> list[Place]:
        """The records of cut ``wanted`` of ``cuts``, in file order; copies of an id are where the
        first of them is.
        """
        first = "FROM points WHERE line IN (SELECT min(line) FROM points GROUP BY id)"
        ((count, total),) = self._rows(f"SELECT count(*), sum(length) {first}")
        in_order = self._rows(f"SELECT id, length {first} ORDER BY tools, messages, line")
        names, lengths = itertools.tee(in_order)
        sizes = (length for _, length in lengths)
        numbers = even_cuts(sizes, count, total, cuts)
        pairs = zip(names, numbers, strict=True)
        here = [trace_id for (trace_id, _), number in pairs if number == wanted]
        query = "SELECT line, start, length FROM points WHERE id = ?"
        places = [row for trace_id in here for row in self._rows(query, (trace_id,))]
        return [Place(self._path, *row) for row in sorted(places)]

    def _rows(self, query: str, values: Row = ()) -> Iterator[Row]:
        return selected(self._database, query, values)


def even_cuts(lengths: Iterable[int], count: int, total: int, shards: int) -> Iterator[int]:
    """Yield the shard of each record, where records in their order are cut into shards of the same
    work.

    A record counts half by its number, for the completions that it gets, and half by its length,
    for the prompt that the engine has to read.

    Args:
        lengths: Bytes of each record.
        count: How many there are.
        total: Their bytes together.
        shards: How many shards there are.
    """
    whole, before = 4 * count * total, 0
    for length in lengths:
        work = count * length + total
        # Where the middle of the record lies, in halves of a unit of work.
        yield (2 * before + work) * shards // whole
        before += work


def selected_records(path: str, limit: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the first ``limit`` records of a file (None: all), each with its line."""
    for line, record in read_records(path):
        if limit is not None and line > limit:
            return
        yield line, record
