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


def test_locks_of_an_earlier_division_are_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed jobs, and jobs of earlier versions, leave their files."""
    for shard in range(50):
        (tmp_path / f"{shard}-of-50.lock").write_text("" if shard % 2 else '{"pid": 1}\n')
    with ShardLock(tmp_path / "0-of-2.lock"), ShardLock(tmp_path / "1-of-2.lock"):
        assert sorted(path.name for path in tmp_path.glob("*.lock")) == [
            "0-of-2.lock",
            "1-of-2.lock",
        ]
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]
    opened: list[str] = []
    really = os.open

    def noted(path: Path, *given: int) -> int:
        opened.append(Path(path).name)
        return really(path, *given)

    monkeypatch.setattr(os, "open", noted)
    with ShardLock(tmp_path / "2-of-3.lock"):
        pass
    assert opened == ["locks", "2-of-3.lock", "locks"]


def test_who_waits_leaves_no_file_and_takes_none_that_is_removed(tmp_path: Path) -> None:
    """Its holder removes the file while another process waits for it."""
    with ShardLock(tmp_path / "0-of-2.lock"):
        same = lock_elsewhere(tmp_path / "0-of-2.lock", 60)
        other = lock_elsewhere(tmp_path / "0-of-3.lock", 60)
        for waiting in (same, other):
            assert "another job works" in first_line(waiting)
        assert [path.name for path in tmp_path.glob("*.lock")] == ["0-of-2.lock"]
    # The first of the two holds a file that has its name.
    end = time.monotonic() + 10
    while not any(path.stat().st_size for path in tmp_path.glob("*.lock")):
        assert time.monotonic() < end
        time.sleep(0.02)
    third = lock_elsewhere(tmp_path / "0-of-2.lock", 0)
    assert "another job works" in first_line(third)
    for process in (same, other, third):
        process.kill()
        process.communicate()


def test_an_end_that_gets_no_turn_leaves_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbdata.fill.lock.LEAVE_S", 0.1)
    path = tmp_path / "0-of-2.lock"
    with ShardLock(path):
        code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.lockf(f, 2)"
        code += "; print(1, flush=True); time.sleep(60)"
        busy = subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "locks"], stdout=subprocess.PIPE, text=True
        )
        assert first_line(busy) == "1\n"
    assert path.read_text() == ""
    busy.kill()
    busy.communicate()


def test_many_that_start_at_once_in_two_divisions_work_one_division_at_a_time(
    tmp_path: Path,
) -> None:
    names = [f"{shard}-of-{count}" for count in (2, 3) for shard in range(count)]
    started = [lock_elsewhere(tmp_path / f"{name}.lock", 0.2) for name in names]
    for process in started:
        assert process.communicate(timeout=60)[0].splitlines()[-1] == "held"
