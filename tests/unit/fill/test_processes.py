"""Processes of one job: signals reach all, and their statuses make one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cbdata.fill.processes import EXIT_WARNED, Command, joint_status, run_all

WAITS = """
import pathlib, signal, sys, time
def told(number, frame):
    raise SystemExit(number)
for number in (signal.SIGTERM, signal.SIGUSR2):
    signal.signal(number, told)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


def test_every_process_ends_as_it_says() -> None:
    ends = [[sys.executable, "-Sc", f"raise SystemExit({status})"] for status in (0, 3)]
    environ = {"ONE": "7"}
    seen = Command([sys.executable, "-Sc", "import os; os._exit(int(os.environ['ONE']))"], environ)
    killed = Command(["sh", "-c", "kill -9 $$"])
    assert run_all([*map(Command, ends), seen, killed]) == [0, 3, 7, -9]


@pytest.mark.parametrize(
    ("passed_as", "told"), [(None, 15), ({signal.SIGTERM: signal.SIGUSR2}, 12)]
)
def test_a_stop_signal_reaches_all(
    tmp_path: Path, passed_as: dict[signal.Signals, signal.Signals] | None, told: int
) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    over = threading.Event()

    def stop_when_both_wait() -> None:
        while not all(file.exists() for file in files):
            over.wait(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=stop_when_both_wait, daemon=True).start()
    commands = [Command([sys.executable, "-Sc", WAITS, str(file)]) for file in files]
    assert run_all(commands, passed_as) == [told, told]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        ([0, 0], 0),
        ([0, 75], 75),
        ([0, -9], 75),
        ([1, -9], 1),
        ([75, 2], 1),
        ([137], 75),
        ([0, 75, EXIT_WARNED], EXIT_WARNED),
        ([EXIT_WARNED, -9], 75),
        ([EXIT_WARNED, -signal.SIGUSR1], EXIT_WARNED),
        ([75, -signal.SIGUSR1], 75),
        ([EXIT_WARNED, 1], 1),
    ],
)
def test_a_job_failed_where_a_process_says_so_and_else_may_be_run_again(
    statuses: list[int], whole: int
) -> None:
    assert joint_status(statuses) == whole


DEAF = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(0, flush=True); time.sleep(60)"
)
PARENT = f"""
import subprocess, sys
from cbdata.fill.processes import kill_descendants
child = "import subprocess, sys; subprocess.run([sys.executable, '-Sc', sys.argv[1]])"
run = subprocess.Popen([sys.executable, "-Sc", child, {DEAF!r}], stdout=subprocess.PIPE)
run.stdout.readline()
kill_descendants()
print(run.wait(), len(run.stdout.read()))
"""


def test_all_that_a_process_started_is_killed() -> None:
    """The end of the pipe shows that the grandchild is gone, which held it as well."""
    scripts = Path(__file__).resolve().parents[3] / "workflow/scripts"
    done = subprocess.run(
        [sys.executable, "-c", PARENT],
        env={**os.environ, "PYTHONPATH": str(scripts)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stdout == "-9 0\n", done.stderr
