"""One process per shard, and whom it waits for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cbdata.fill.lock import ShardBusy, ShardLock

HOLD = """
import sys, time
from cbdata.fill.lock import ShardBusy, ShardLock
try:
    with ShardLock(sys.argv[1]):
        print("held", flush=True)
        time.sleep(float(sys.argv[2]))
except ShardBusy as error:
    print(error)
"""


def lock_elsewhere(lock: Path, seconds: float, **env: str) -> subprocess.Popen[str]:
    """Another process that takes the lock and holds it."""
    scripts = Path(__file__).resolve().parents[3] / "workflow/scripts"
    command = [sys.executable, "-c", HOLD, lock, str(seconds)]
    return subprocess.Popen(
        command, env={"PYTHONPATH": str(scripts), **env}, stdout=subprocess.PIPE, text=True
    )


def test_the_second_job_on_a_shard_stops_and_names_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "0-of-1.lock"
    with ShardLock(lock):
        message = lock_elsewhere(lock, 0).communicate()[0]
        assert (
            "another job works on this shard" in message
            and f'"pid":{os.getpid()}' in message
            and "Hint" in message
        )
    assert lock_elsewhere(lock, 0).communicate()[0] == "held\n"


def test_a_killed_jobs_lock_is_free_again(tmp_path: Path) -> None:
    lock = tmp_path / "0-of-1.lock"
    with lock_elsewhere(lock, 60) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(ShardBusy):
            ShardLock(lock).__enter__()
        holder.kill()
        holder.wait()
    with ShardLock(lock):
        pass


def test_a_requeued_job_waits_for_what_is_left_of_its_first_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM gives a node up that it cannot reach and starts the job elsewhere under the same id,
    while the node may go on working.
    """
    monkeypatch.setattr("cbdata.fill.lock.POLL_S", 0.05)
    lock = tmp_path / "0-of-1.lock"
    with lock_elsewhere(lock, 1.0, SLURM_JOB_ID="7") as first_try:
        assert first_try.stdout is not None and first_try.stdout.readline() == "held\n"
        monkeypatch.setenv("SLURM_JOB_ID", "8")
        with pytest.raises(ShardBusy):
            ShardLock(lock).__enter__()
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        with ShardLock(lock):
            assert first_try.stdout.read() == "" and first_try.wait(10) == 0
