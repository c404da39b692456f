"""A fill job as a process of its own: exit status, messages, and what it leaves behind.

The engine is the scale benchmark's stub, so that no model is loaded; prompts are rendered with the
demo's tokenizer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cbdata.fill.job import FillJob
from cbdata.fill.lock import ShardLock
from cbdata.fill.row_file import read_rows
from cbdata.tools import ToolSchema
from tests.fill_settings import fill_settings
from tests.unit.fill.world import World, write_skeletons


@pytest.fixture
def job(tmp_path: Path, b4_tools: ToolSchema, demo_model: Path) -> FillJob:
    """Six skeletons for the stub, under the demo's tokenizer."""
    skeletons = write_skeletons(tmp_path, b4_tools, 6)
    settings = fill_settings(model=str(demo_model), backend="stub", max_tokens=32)
    job = World(tmp_path, b4_tools, skeletons, settings).job()
    return replace(job, log=str(tmp_path / "job.log"))


def run(job: FillJob, repo: Path, modules: str = "stub_backend") -> tuple[int, str]:
    """Exit status and messages."""
    scratch = Path(job.sets[0].progress_dir).parent / "scratch"
    scratch.mkdir(exist_ok=True)
    path = [repo / "workflow/scripts", repo / "benchmarks/slurm_scale/stub"]
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "CB_BACKEND_MODULES": modules,
        "CB_LOCAL_SCRATCH": str(scratch),
    }
    job.job_file.parent.mkdir(parents=True, exist_ok=True)
    job.save(job.job_file)
    done = subprocess.run(
        [sys.executable, "-m", "cbdata.fill", str(job.job_file)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert list(scratch.iterdir()) == [], "the job's own scratch folder is gone"
    return done.returncode, done.stderr


def test_a_job_publishes_its_shard_and_its_log_names_the_backends_module(
    job: FillJob, repo: Path
) -> None:
    status, messages = run(job, repo)
    assert status == 0, messages
    rows = [row for _, row in read_rows(job.sets[0].output)]
    assert [row["row"] for row in rows].count("run") == 1 and len(rows) == 13
    assert job.log is not None
    log = Path(job.log).read_text()
    assert "backend stub comes from stub_backend (CB_BACKEND_MODULES)" in log
    assert "first rendered prompt" in log and "published" in log


def test_a_job_whose_backend_nobody_brings_fails_and_says_how(job: FillJob, repo: Path) -> None:
    status, messages = run(job, repo, modules="")
    assert status == 1 and "backend: 'stub' is none of endpoint, transformers, vllm" in messages
    assert not Path(job.sets[0].output).exists() and "Traceback" not in messages


def test_a_job_that_cannot_run_names_every_problem(job: FillJob, repo: Path) -> None:
    settings = replace(job.settings, model="org/name")
    broken = replace(job, settings=settings, tool_schema="absent.json")
    status, messages = run(broken, repo)
    assert status == 1 and "Traceback" not in messages
    assert "model org/name is not in" in messages and "absent.json" in messages


def test_a_second_job_on_a_shard_waits_and_finds_everything_done(job: FillJob, repo: Path) -> None:
    assert job.log is not None
    log = Path(job.log)
    with ThreadPoolExecutor() as pool:
        with ShardLock(job.lock_files[0]):
            second = pool.submit(run, job, repo)
            while not (log.exists() and "this one waits" in log.read_text()):
                time.sleep(0.1)
            assert not second.done() and "first rendered prompt" not in log.read_text()
        status, messages = second.result()
    assert status == 0 and "another job works on these skeletons" in messages


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["absent.json"]])
def test_a_job_file_that_cannot_be_read_is_a_usage_error(repo: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cbdata.fill", *arguments],
        env={**os.environ, "PYTHONPATH": str(repo / "workflow/scripts")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.strip()
