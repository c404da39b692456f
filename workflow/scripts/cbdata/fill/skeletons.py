"""The skeletons of one shard, each checked and counted."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from cbdata.fill.sharding import selected_records, shard_records
from cbdata.ids import digest
from cbdata.records import Trace
from cbdata.rejects import Reject
from cbdata.schemas import all_errors, first_error
from cbdata.tools import ToolSchema


@dataclass(frozen=True)
class Skeleton:
    """A record of the skeleton file, counted from line 1.

    ``fault`` says why it cannot be used at all. A ``duplicate`` is a later copy of an id, in this
    file or in one of a later set of the job. ``tools`` are those that the model is offered, once
    they are known.
    """

    line: int
    record: dict[str, Any]
    fault: Reject | None = None
    duplicate: bool = False
    tools: ToolSchema | None = None

    @property
    def trace_id(self) -> str:
        """The record's id, or a stand-in where it has none."""
        return record_name(self.line, self.record)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of what the record says, by which a row is known to be made of it."""
        return digest(self.record)

    @property
    def trace(self) -> Trace:
        """The record as the trace_v1 that it is, if it has no fault."""
        return cast(Trace, self.record)


def record_name(line: int, record: Mapping[str, Any]) -> str:
    """The id of a record, or a stand-in where it has none."""
    found = record.get("id")
    return found if isinstance(found, str) else f"line {line}"


def earlier_ids(paths: Iterable[str], limit: int | None) -> set[str]:
    """The ids of the selected valid records of some skeleton files. One that is no trace_v1 is
    completed nowhere, so it makes no duplicate of a later one.

    Args:
        paths: The files.
        limit: As in ``shard_skeletons``.
    """
    return {
        record["id"]
        for path in paths
        for _, record in selected_records(path, limit)
        if first_error("trace_v1", record) is None
    }


def shard_skeletons(
    path: str,
    limit: int | None,
    shard: int,
    shards: int,
    earlier: Container[str] = (),
    part: int = 0,
    parts: int = 1,
) -> Iterator[Skeleton]:
    """Yield one shard's skeletons in file order; ``shard_records`` says which these are.

    Of the file, only the shard's own records are validated: copies of an id are all in one shard,
    and every record is in some shard.

    Args:
        path: The skeleton file.
        limit: Only the first so many records of the file take part; None for all.
        shard: The shard, in ``[0, shards)``.
        shards: How many shards the records are divided among.
        earlier: Ids that are completed elsewhere, so that records with them are duplicates.
        part: The part of the shard, in ``[0, parts)``.
        parts: How many parts each shard is divided into.
    """
    seen: set[str] = set()
    for line, record in shard_records(path, record_name, limit, shard, shards, part, parts):
        trace_id = record_name(line, record)
        error = first_error("trace_v1", record)
        yield Skeleton(
            line,
            record,
            Reject("invalid_trace", all_errors("trace_v1", record)) if error else None,
            duplicate=error is None and (trace_id in seen or trace_id in earlier),
        )
        if error is None:
            seen.add(trace_id)
