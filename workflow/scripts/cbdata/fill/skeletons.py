"""The skeletons of one shard, each checked and counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from cbdata.ids import shard_of
from cbdata.jsonl import read_records
from cbdata.records import Trace
from cbdata.rejects import Reject
from cbdata.schemas import all_errors, first_error
from cbdata.tools import ToolSchema


@dataclass(frozen=True)
class Skeleton:
    """A record of the skeleton file, counted from line 1.

    ``fault`` says why it cannot be used at all. A ``duplicate`` is a later copy of an id. ``tools``
    are those that the model is offered, once they are known.
    """

    line: int
    record: dict[str, Any]
    fault: Reject | None = None
    duplicate: bool = False
    tools: ToolSchema | None = None

    @property
    def trace_id(self) -> str:
        """The record's id, or a stand-in where it has none."""
        found = self.record.get("id")
        return found if isinstance(found, str) else f"line {self.line}"

    @property
    def trace(self) -> Trace:
        """The record as the trace_v1 that it is, if it has no fault."""
        return cast(Trace, self.record)


def shard_skeletons(path: str, limit: int | None, shard: int, shards: int) -> Iterator[Skeleton]:
    """Yield one shard's skeletons in file order.

    Only the shard's own records are validated: copies of an id are all in one shard, and every
    record is in some shard.

    Args:
        path: The skeleton file.
        limit: Only the first so many records of the file take part; None for all.
        shard: The shard, in ``[0, shards)``.
        shards: How many shards the records are divided among.
    """
    seen: set[str] = set()
    for line, record in read_records(path):
        if limit is not None and line > limit:
            return
        trace_id = Skeleton(line, record).trace_id
        if shard_of(trace_id, shards) != shard:
            continue
        error = first_error("trace_v1", record)
        yield Skeleton(
            line,
            record,
            Reject("invalid_trace", all_errors("trace_v1", record)) if error else None,
            duplicate=error is None and trace_id in seen,
        )
        seen.add(trace_id)
