"""Runs of the two converters on small inputs, with what they wrote read back and validated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.schemas import first_error
from cbdata.sources import agentdojo, fujitsu_b4
from cbdata.stage import StageFiles
from cbdata.tools import ToolSchema


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
    assert counts["records_in"] == counts["records_out"] + counts["rejected"] + counts["duplicates"]
    assert (counts["records_out"], counts["rejected"]) == (len(traces), len(rejects))
    assert len({trace["id"] for trace in traces}) == len(traces)
    assert (
        sum(len(trace["links"].get("duplicates", ())) for trace in traces) == counts["duplicates"]
    )
    assert [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")] == []
    return Converted(traces, rejects, stats, b"".join(raw))


def as_bytes(records: Any) -> bytes:
    """Records as JSON Lines; bytes as they are."""
    return (
        records
        if isinstance(records, bytes)
        else b"".join(orjson.dumps(record) + b"\n" for record in records)
    )


@pytest.fixture
def convert_b4(tmp_path: Path, b4_tools: ToolSchema) -> Callable[..., Converted]:
    """Convert records (objects, or the bytes of the file) of Fujitsu B4."""

    def convert(records: Any, **options: Any) -> Converted:
        raw = tmp_path / "b4.jsonl"
        raw.write_bytes(as_bytes(records))
        out = tmp_path / "out"
        settings = {"split": "train", "max_reject_fraction": 1.0} | options
        fujitsu_b4.convert(
            raw,
            b4_tools,
            outputs=StageFiles.of(out / "traces", out / "rejects", out / "stats"),
            **settings,
        )
        return read_back(tmp_path)

    return convert


@pytest.fixture
def convert_dojo(tmp_path: Path) -> Callable[..., Converted]:
    """Convert files, given as {name: records or bytes}, of AgentDojo; ``order`` is the order in
    which they are given.
    """

    def convert(
        files: Any, order: Callable[[list[str]], list[str]] | None = None, **options: Any
    ) -> Converted:
        if not isinstance(files, dict):
            files = {"a.jsonl": files}
        paths = []
        for name, records in files.items():
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(as_bytes(records))
            paths.append(str(path))
        out = tmp_path / "out"
        settings = {"split": "train", "max_reject_fraction": 1.0} | options
        agentdojo.convert(
            order(paths) if order else paths,
            outputs=StageFiles.of(out / "traces", out / "rejects", out / "stats"),
            **settings,
        )
        return read_back(tmp_path)

    return convert
