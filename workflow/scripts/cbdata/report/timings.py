"""Figures of run times, of SLURM jobs' efficiency and of the engine's speed.

They come from the tables that Snakemake and its executor plugin write, and from the stats of the
fill stage.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cbdata.report.chart import MAX_ROWS, Figure, Table, left_out, plain

EFFICIENCY_COLUMNS = (
    "JobID",
    "JobName",
    "RuleName",
    "Elapsed",
    "NCPUS",
    "CPU Efficiency (%)",
    "MaxRSS_MB",
    "RequestedMem_MB",
    "Memory Usage (%)",
)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _number(text: str | None) -> float | None:
    """Read a number of a benchmark table; None for ``-`` and ``NA``, which were not measured."""
    try:
        return float(text or "")
    except ValueError:
        return None


def _job_name(path: Path) -> str:
    """Rule and name of a job, of its benchmark file ``.../benchmarks/{rule}/{name}.tsv``; the name
    of a shard or a part holds a folder.
    """
    parts = path.with_suffix("").parts
    above = [at for at, part in enumerate(parts[:-2]) if part == "benchmarks"]
    rule, *name = parts[above[-1] + 1 :] if above else parts[-2:]
    return f"{rule} {'/'.join(name)}"


def run_times(benchmarks: Sequence[Path]) -> Figure:
    """Show wall time, CPU and memory of each job, from benchmark files ``{rule}/{name}.tsv``."""
    jobs = []
    for path in benchmarks:
        with open(path, newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                seconds = _number(row.get("s"))
                if seconds is not None:
                    jobs.append(
                        (
                            _job_name(path),
                            seconds,
                            _number(row.get("max_rss")),
                            _number(row.get("cpu_time")),
                            _number(row.get("mean_load")),
                        )
                    )
    jobs.sort(key=lambda job: -job[1])
    rows = [
        (
            name,
            _duration(seconds),
            *("-" if value is None else f"{value:,.1f}" for value in (memory, cpu, load)),
        )
        for name, seconds, memory, cpu, load in jobs[:MAX_ROWS]
    ]
    note = (
        "From the benchmark files of the latest run of each job; a dash was too short to be"
        f" measured.{left_out(jobs)}"
    )
    return Figure(
        "times",
        "Run times",
        note,
        Table(
            ("job", "wall time", "peak memory, MB", "CPU time, s", "mean load, %"),
            rows,
            drawn=[plain("neutral", seconds, jobs[0][1]) for _, seconds, *_ in jobs[:MAX_ROWS]],
            drawn_head="wall time",
        ),
    )


def slurm_efficiency(reports: Sequence[Path]) -> Figure | None:
    """Show the executor plugin's efficiency reports as one table; None if no job went through
    SLURM.
    """
    rows = []
    head: tuple[str, ...] = ()
    for path in reports:
        with open(path, newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            names = reader.fieldnames or []
            head = tuple(name for name in EFFICIENCY_COLUMNS if name in names) or tuple(names)
            rows += [tuple(row.get(name) or "-" for name in head) for row in reader]
    if not rows:
        return None
    note = "From SLURM's accounting, by the executor plugin (slurm-efficiency-report)."
    return Figure("slurm", "SLURM efficiency", note, Table(head, rows, numeric_from=3))


def throughput(stats: Sequence[dict[str, Any]]) -> Figure | None:
    """Show what the engine of the fill stage did per second; None if nothing was generated."""
    rows = []
    for entry in stats:
        told = entry["details"].get("throughput") or {}
        if entry["stage"] == "fill" and told.get("generated"):
            speeds = (
                f"{told[key]:,.0f}"
                for key in (
                    "prompt_tokens",
                    "completion_tokens",
                    "prompt_tokens_per_second",
                    "completion_tokens_per_second",
                )
            )
            rows.append(
                (
                    entry["name"],
                    f"{told['generated']:,}",
                    f"{told['reused']:,}",
                    *speeds,
                    _duration(told["load_seconds"]),
                )
            )
    if not rows:
        return None
    head = (
        "file",
        "generated",
        "taken over",
        "prompt tokens",
        "completion tokens",
        "prompt tokens/s",
        "completion tokens/s",
        "engine start",
    )
    note = (
        "DS and DR share the engine, so the figures of a run are those of both; taken over are"
        " completions of earlier, interrupted runs."
    )
    return Figure("throughput", "Generation", note, Table(head, rows))
