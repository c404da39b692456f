"""Several engines in one job, each a process with the scale benchmark's stub."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbdata.fill.engines import engine_environs
from cbdata.fill.job import FillJob
from cbdata.fill.row_file import read_rows
from cbdata.jsonl import read_records
from cbdata.tools import ToolSchema
from tests.fill_settings import fill_settings, runtime_settings
from tests.unit.fill.world import ToyBackend, World, write_skeletons


@pytest.fixture
def job(tmp_path: Path, b4_tools: ToolSchema, demo_model: Path) -> FillJob:
    """Eight skeletons for two engines, under the demo's tokenizer."""
    settings = fill_settings(model=str(demo_model), backend="stub", max_tokens=32)
    world = World(tmp_path, b4_tools, write_skeletons(tmp_path, b4_tools, 8), settings)
    runtime = runtime_settings(engines_per_job=2, engine_device="cpu")
    return replace(world.job(), log=str(tmp_path / "job.log"), runtime=runtime)


def start(job: FillJob, repo: Path, module: str = "", **environ: str) -> subprocess.Popen[str]:
    """The job as a process of its own; ``module`` is the text of a backend in place of the stub."""
    folder = Path(job.sets[0].progress_dir).parent
    (folder / "own_backend.py").write_text(module or "from stub_backend import BACKEND\n")
    path = [repo / "workflow/scripts", repo / "benchmarks/slurm_scale/stub", folder]
    job.job_file.parent.mkdir(parents=True, exist_ok=True)
    job.save(job.job_file)
    return subprocess.Popen(
        [sys.executable, "-m", "cbdata.fill", str(job.job_file)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "CB_BACKEND_MODULES": "own_backend",
            **environ,
        },
        stderr=subprocess.PIPE,
        text=True,
    )


def stored(job: FillJob) -> Counter[tuple[str, str, int]]:
    """How often each completion stands in the progress store."""
    return Counter(
        (row["trace_id"], row["mode"], row["attempt"])
        for path in Path(job.sets[0].progress_dir).glob("*.jsonl")
        for _, row in read_records(path)
    )


KILLED = """
import os, signal, sys
import stub_backend

class Engine(stub_backend.StubEngine):
    def generate(self, queue):
        for number, request in enumerate(iter(lambda: queue.take(1), [])):
            if number == 3 and ".1-of-1x2." in sys.argv[-1]:
                os.kill(os.getpid(), signal.SIGKILL)
            yield [stub_backend.Generated(request[0], self._answers[0], "stop")]

class Backend(stub_backend.StubBackend):
    def open(self, options):
        return Engine(options.model)

BACKEND = Backend()
"""


def test_two_engines_do_a_shard_and_publish_what_one_would(job: FillJob, repo: Path) -> None:
    """The first try loses an engine in the middle of its work; the second generates the rest."""
    alone = replace(job, runtime=runtime_settings(engine_device="cpu"))
    log = Path(str(job.log))
    with start(job, repo, KILLED) as first:
        said = str(first.communicate(timeout=120)[1])
    assert first.returncode == 75, said
    assert "1 of 2 engines did not do their part" in said
    assert "engine 1 was killed by signal 9" in said
    assert not Path(job.sets[0].output).exists()
    kept = stored(job)
    with start(job, repo) as second:
        said = str(second.communicate(timeout=120)[1])
    assert second.returncode == 0, said
    both = stored(job)
    assert set(kept) < set(both) and set(both.values()) == {1}
    rows = [row for _, row in read_rows(job.sets[0].output)]
    assert rows[-1]["row"] == "run" and rows[-1]["reused"] >= len(kept)
    assert rows[-1]["generated"] + rows[-1]["reused"] == len(both)
    assert [path.name for path in Path(job.sets[0].output).parent.iterdir()] == ["0-of-1.jsonl"]
    assert "engine 0: " in said and "first rendered prompt" not in log.read_text()
    assert "first rendered prompt" in log.with_suffix(".engine1.log").read_text()
    with start(alone, repo) as one:
        one.communicate(timeout=120)
    assert [row for _, row in read_rows(job.sets[0].output)][:-1] == rows[:-1]
    assert stored(job) == both
