"""A job of a minute that shows what a machine makes of a model: load it, complete demo prompts, and
say what a whole run would take.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cbdata.atomic_file import naming
from cbdata.fill.job import FillJob, SetFiles
from cbdata.fill.row_file import read_rows
from cbdata.jsonl import dumps, read_records
from cbdata.paths import ROOT, SCRIPTS, TOOL_SCHEMAS
from cbdata.records import FillRun
from cbdata.sources.fujitsu_b4 import convert
from cbdata.stage import StageFiles

DEMO_RECORDS = ROOT / "config/demo/fujitsu_b4.jsonl"
DEMO_TOOLS = TOOL_SCHEMAS / "demo_v1.json"

SKELETONS = 32
"""Each gets a harmful and a benign completion: 64 requests."""

WHOLE_RUN = 13_246
"""Records of Fujitsu B4."""

SHARD_COUNTS = (1, 4, 16)

GPU_LOOK_S = 1.0
"""Seconds between two questions for the GPUs' memory."""

ENGINE_LINE = "engine: "
"""How the preflight's line about the engine begins in a job's log."""


class GpuCheckFailed(RuntimeError):
    """The job did not get through: its log says why."""


@dataclass(frozen=True)
class Measured:
    """What a check found: the engine's line, the work of its job, and the most memory in MiB, with
    a word for whose it is.
    """

    engine: str
    run: FillRun
    memory_mib: float
    memory_of: str


def check_job(job: FillJob, folder: Path) -> FillJob:
    """Make the job of a check out of one with a run's settings.

    Args:
        job: A job with the settings that are to be tried; its skeletons and places do not matter.
        folder: An empty folder for all files but the log.
    """
    whole, chosen = folder / "all.jsonl", folder / "skeletons.jsonl"
    convert(
        [DEMO_RECORDS],
        tool_schemas=[str(DEMO_TOOLS)],
        split="train",
        outputs=StageFiles.of(whole, folder / "rejects.jsonl", folder / "stats.json"),
        max_reject_fraction=0.5,
    )
    usable = [
        record
        for _, record in read_records(whole)
        if record["tool_attack"]["simulated_tool"] != record["tool_attack"]["expected_tool"]
        and record["signal_hints"].get("injection_char_span")
    ]
    with naming(chosen):
        chosen.write_bytes(b"".join(map(dumps, usable[:SKELETONS])))
    return replace(
        job,
        sets=[
            SetFiles(
                skeletons=str(chosen),
                output=str(folder / "rows.jsonl"),
                progress_dir=str(folder / "progress"),
            )
        ],
        tool_schema=str(DEMO_TOOLS),
        shard=0,
        shards=1,
        settings=replace(job.settings, mode="both", attempts=1, limit=None),
        runtime=replace(job.runtime, engines_per_job=1),
    )


def run_check(job: FillJob) -> Measured:
    """Run the job of a check in a process of its own. Raises GpuCheckFailed."""
    job.job_file.parent.mkdir(parents=True, exist_ok=True)
    job.save(job.job_file)
    paths = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    with _gpu_memory() as seen:
        status = subprocess.run(
            [sys.executable, "-m", str(__package__), str(job.job_file)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        ).returncode
    if status:
        raise GpuCheckFailed(f"the fill job ended with status {status}; see {job.log}")
    (run,) = [row for _, row in read_rows(job.sets[0].output) if row["row"] == "run"]
    own = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    memory, owner = (max(seen), "of one GPU") if seen else (own, "of the process")
    return Measured(_engine_line(job.log), run, memory, owner)


def report(found: Measured, modes: int) -> str:
    """The check as text: what was measured, and what a whole run would take.

    Args:
        found: What was measured.
        modes: Modes of the run that is reckoned up.
    """
    run = found.run
    requests, seconds = run["generated"], max(run["seconds"], 1e-9)
    whole_s = WHOLE_RUN * modes * seconds / requests
    lines = [
        found.engine,
        (
            f"loaded in {run['load_seconds']:.1f} s; {requests} completions in {seconds:.1f} s:"
            f" {run['completion_tokens'] / seconds:.0f} tokens/s written,"
            f" {run['prompt_tokens'] / seconds:.0f} tokens/s of prompts"
        ),
        f"most memory {found.memory_of}: {found.memory_mib / 1024:.1f} GiB",
        "",
        (
            f"{WHOLE_RUN:,} skeletons, {modes} completion{'s' * (modes > 1)} each, one attempt, at"
            " this speed:"
        ),
    ]
    for shards in SHARD_COUNTS:
        hours = (run["load_seconds"] + whole_s / shards) / 3600
        lines.append(
            f"  fill_shards={shards:<3} {hours:8.2f} h, with {shards} engine{'s' * (shards > 1)} at"
            " once"
        )
    lines += [
        "",
        f"{requests} requests do not fill a large GPU, so a real run is faster; more attempts take",
        "more. `choose_fill_shards.py` reckons from a run of some hundred skeletons.",
    ]
    return "\n".join(lines) + "\n"


def check(job: FillJob, modes: int) -> str:
    """Run a check with the settings of a job, and return its report. Raises GpuCheckFailed."""
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        return report(run_check(check_job(job, Path(folder))), modes)


def _engine_line(log: str | None) -> str:
    lines = Path(log).read_text(encoding="utf-8").splitlines() if log else []
    found = [line.partition(ENGINE_LINE)[2] for line in lines if ENGINE_LINE in line]
    return found[-1] if found else "engine unknown"


@contextmanager
def _gpu_memory() -> Iterator[list[float]]:
    """MiB in use on the job's GPUs, noted once a second; nothing where there is no nvidia-smi."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        command.append(f"--id={visible}")
    seen: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(GPU_LOOK_S):
            try:
                said = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
                seen.extend(float(line) for line in said.split() if line)
            except (OSError, subprocess.TimeoutExpired, ValueError):
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
