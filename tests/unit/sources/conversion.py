"""What a conversion wrote, read back and validated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cbdata.schemas import first_error
from cbdata.stage import StageFiles


@dataclass
class Converted:
    """What one conversion wrote."""

    traces: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    stats: dict[str, Any]
    raw: bytes
    """The bytes of the three files, one after the other."""

    @property
    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.rejects]

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """(in, out, rejected, duplicates)"""
        counts = self.stats["counts"]
        return counts["records_in"], counts["records_out"], counts["rejected"], counts["duplicates"]


def outputs(folder: Path) -> StageFiles:
    """Where a conversion in a folder writes."""
    out = folder / "out"
    return StageFiles(out / "traces", out / "rejects", out / "stats")


def read_back(folder: Path) -> Converted:
    """Read the three files of a run; every row must be valid, every id distinct, and the law must
    hold.
    """
    names = ("traces", "rejects", "stats")
    raw = [(folder / "out" / name).read_bytes() for name in names]
    traces, rejects = ([orjson.loads(line) for line in part.splitlines()] for part in raw[:2])
    stats = orjson.loads(raw[2])
    for schema, rows in (("trace_v1", traces), ("reject_v1", rejects), ("stats_v1", [stats])):
        for row in rows:
            assert first_error(schema, row) is None
    counts = stats["counts"]
    left = sum(counts[key] for key in ("records_out", "rejected", "duplicates", "not_selected"))
    assert counts["records_in"] == left
    assert (counts["records_out"], counts["rejected"]) == (len(traces), len(rejects))
    assert len({trace["id"] for trace in traces}) == len(traces)
    named = sum(len(trace["links"].get("duplicates", ())) for trace in traces)
    # Copies of a trace that is not selected are duplicates all the same.
    assert named == counts["duplicates"] or counts["not_selected"]
    assert [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")] == []
    return Converted(traces, rejects, stats, b"".join(raw))


def as_bytes(records: Any) -> bytes:
    """Records as JSON Lines; bytes as they are."""
    return (
        records
        if isinstance(records, bytes)
        else b"".join(orjson.dumps(record) + b"\n" for record in records)
    )
