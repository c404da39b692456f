"""Render and trace files made by hand, and the stage run over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from cbdata.config import default_settings
from cbdata.jsonl import read_records
from cbdata.lossmask.settings import LossmaskSettings
from cbdata.lossmask.stage import apply_lossmask
from cbdata.mwcs.mixture import write_mixture
from cbdata.schemas import first_error
from cbdata.stage import StageFiles
from tests.conversations import Turn, build_render, build_trace
from tests.records import write_jsonl


class Files:
    """A render file and its trace file in a folder, and a run of the stage over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.renders: list[dict[str, Any]] = []
        self.traces: list[dict[str, Any]] = []

    def add(self, turns: list[Turn], rendered: bool = True, **trace: Any) -> str:
        render, _ = build_render(turns, bos=f"<{len(self.traces)}>")
        self.traces.append(build_trace(render["trace_id"], **trace))
        if rendered:
            self.renders.append(render)
        return render["trace_id"]

    def stage_files(self, out: str) -> StageFiles:
        return StageFiles(
            *(self.folder / out / f"{kind}.jsonl" for kind in ("lossmasks", "rejects", "stats"))
        )

    def run(
        self, out: str = "out", **settings: Any
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
        renders = write_jsonl(self.folder / "renders/made.jsonl", self.renders)
        traces = write_jsonl(self.folder / "traces/made.jsonl", self.traces)
        if "mwcs_schedule" in settings:
            write_mixture([traces], self.folder / "mixture.json")
            settings["mixture"] = self.folder / "mixture.json"
        files = self.stage_files(out)
        chosen = default_settings(LossmaskSettings, **settings)
        apply_lossmask(renders, traces, files, chosen, name="made")
        rows, rejects = (
            [record for _, record in read_records(path)] for path in (files.out, files.rejects)
        )
        stats = orjson.loads(files.stats.read_bytes())
        for schema, records in (
            ("lossmask_v1", rows),
            ("reject_v1", rejects),
            ("stats_v1", [stats]),
        ):
            assert [first_error(schema, record) for record in records] == [None] * len(records)
        return rows, rejects, stats
