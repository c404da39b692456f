"""One process for each piece of work, and whom it waits for."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cbdata.fill.lock import ShardLock

HOLD = """
import logging, sys, time
import cbdata.fill.lock as lock
lock.POLL_S = 0.05
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
with lock.ShardLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbdata.fill.lock.POLL_S", 0.05)


def lock_elsewhere(lock: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that takes the lock and holds it."""
    scripts = Path(__file__).resolve().parents[3] / "workflow/scripts"
    command = [sys.executable, "-c", HOLD, lock, str(seconds)]
    return subprocess.Popen(
        command, env={"PYTHONPATH": str(scripts)}, stdout=subprocess.PIPE, text=True
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize(
    "second", ["0-of-2", "0-of-3", "2-of-3", "0-of-1", "1.all-of-2x4", "1.0-of-2x4"]
)
def test_who_works_on_the_same_skeletons_is_named_and_waited_for(
    tmp_path: Path, second: str
) -> None:
    with ShardLock(tmp_path / "0-of-2.lock"):
        waiting = lock_elsewhere(tmp_path / f"{second}.lock", 0)
        line = first_line(waiting)
        assert "another job works on these skeletons" in line
        assert f'"pid":{os.getpid()}' in line and "Hint" in line
        time.sleep(0.2)
        assert waiting.poll() is None
    rest = waiting.communicate(timeout=10)[0].splitlines()
    assert rest == ["the other job has ended; what it had generated is taken over", "held"]


def test_shards_of_one_division_work_side_by_side(tmp_path: Path) -> None:
    with ShardLock(tmp_path / "0-of-2.lock"):
        assert lock_elsewhere(tmp_path / "1-of-2.lock", 0).communicate(timeout=10)[0] == "held\n"


def test_a_killed_jobs_lock_is_free_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lock = tmp_path / "0-of-1.lock"
    with lock_elsewhere(lock, 60) as holder:
        assert first_line(holder) == "held\n"
        holder.kill()
        holder.wait()
    with caplog.at_level(logging.INFO), ShardLock(lock), ShardLock(tmp_path / "1-of-1.lock"):
        assert not caplog.messages


def test_many_that_start_at_once_in_two_divisions_work_one_division_at_a_time(
    tmp_path: Path,
) -> None:
    names = [f"{shard}-of-{count}" for count in (2, 3) for shard in range(count)]
    started = [lock_elsewhere(tmp_path / f"{name}.lock", 0.2) for name in names]
    for process in started:
        assert process.communicate(timeout=60)[0].splitlines()[-1] == "held"
