"""A job of several processes: all are started, signals are passed on, and all are waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from cbdata.fill.runner import STOP_SIGNALS

EXIT_STOPPED = 75
"""EX_TEMPFAIL of sysexits.h: nothing is wrong with the job, run it again."""

EXIT_WARNED = 79
"""One of several engines tells its job that it was stopped and ``Stopped.comes_back`` (no status of
sysexits.h). The job itself ends with EXIT_STOPPED.
"""


@dataclass(frozen=True)
class Command:
    """A command line, and variables over those of this process."""

    words: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)


def run_all(
    commands: Iterable[Command], passed_as: Mapping[signal.Signals, signal.Signals] | None = None
) -> list[int]:
    """Start commands side by side, pass the stop signals on to them, and wait for all.

    Args:
        commands: What is started; taken one by one, from when signals are passed on.
        passed_as: What a command gets in place of a signal.

    Returns:
        The exit status of each, minus the signal's number where one killed it.
    """
    children: list[subprocess.Popen[bytes]] = []
    noted: list[signal.Signals] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        told = (passed_as or {}).get(signal.Signals(number), signal.Signals(number))
        noted.append(told)
        for child in children:
            child.send_signal(told)

    before = {number: signal.signal(number, pass_on) for number in STOP_SIGNALS}
    try:
        for command in commands:
            child = subprocess.Popen(
                command.words, env={**os.environ, **command.environ}, stdin=subprocess.DEVNULL
            )
            children.append(child)
            # One that came before the child stood in the list.
            for told in noted:
                child.send_signal(told)
        return [child.wait() for child in children]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def joint_status(statuses: Sequence[int]) -> int:
    """How a job ended whose processes ended so: 0 if all did what they should, 1 if one says that
    it failed, EXIT_WARNED if one was warned and the others were stopped or had done their part,
    else EXIT_STOPPED, for what was killed may be run again.
    """
    if not any(statuses):
        return 0
    if {1, 2} & set(statuses):
        return 1
    # One that is still starting, or has just stopped, may be killed by the warning itself: SLURM
    # sends it to every process, and the job passes it on.
    stopped = {0, EXIT_STOPPED, EXIT_WARNED, -signal.SIGUSR1}
    return EXIT_WARNED if EXIT_WARNED in statuses and stopped.issuperset(statuses) else EXIT_STOPPED


def kill_descendants() -> None:
    """Kill what this process has started, and what that has started, before it ends itself.

    A worker of vLLM 0.32 that waits for another node outlives its parent, and holds its GPU.
    """
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # A process may end while it is looked at.
        with contextlib.suppress(OSError):
            # Behind the name, which may hold blanks and brackets: state, parent.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children[parent].append(int(stat.parent.name))
    found = [os.getpid()]
    for pid in found:
        found += children[pid]
    for pid in found[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
