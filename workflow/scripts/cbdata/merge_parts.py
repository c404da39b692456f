"""The parts of a file that several jobs made, back together: the bytes that one job would have
written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import orjson

from cbdata.jsonl import read_records
from cbdata.stage import ConservationError, StageFiles, StageWriter

if TYPE_CHECKING:
    from cbdata.records import RejectRow

_BLOCK_BYTES = 1 << 20


def append_parts(writer: StageWriter, parts: Sequence[StageFiles]) -> Iterator[dict[str, Any]]:
    """Append the records, rejects and counts of every part.

    Args:
        writer: The files to append to.
        parts: The parts, in their order.

    Yields:
        The details of each part's stats.

    Raises:
        ConservationError: A part has not as many records as its stats say, or the parts are not of
            one state of the file: then lines would be lost or doubled where their ranges meet.
    """
    sizes: set[int] = set()
    for part in parts:
        stats = orjson.loads(part.stats.read_bytes())
        counts = stats["counts"]
        sizes.add(stats["details"]["file_bytes"])
        if len(sizes) > 1:
            raise ConservationError(
                f"{part.out}: the file whose parts these are had {min(sizes)} bytes for one and"
                f" {max(sizes)} for another. Hint: run the rule of its parts again"
            )
        writer.take(counts["records_in"])
        writer.not_selected(counts["not_selected"])
        writer.duplicates += counts["duplicates"]
        writer.headers += counts["headers"]
        lines = 0
        with open(part.out, "rb") as handle:
            while block := handle.read(_BLOCK_BYTES):
                writer.emit_bytes(block, 0)
                lines += block.count(b"\n")
        if lines != counts["records_out"]:
            raise ConservationError(
                f"{part.out}: {lines} records, its stats say {counts['records_out']}. Hint: remove"
                " the file and run its rule again"
            )
        writer.emit_bytes(b"", lines)
        for _, row in read_records(part.rejects):
            writer.reject_row(cast("RejectRow", row))
        yield stats["details"]
