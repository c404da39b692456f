"""Whether a process that was killed is gone."""

from __future__ import annotations

import time

import psutil


def ended(pid: int, seconds: float = 30) -> bool:
    """Whether a process is gone, or was not yet fetched by its new parent, or will be in so many
    seconds: a killed process takes a moment to die, and who killed it does not wait for that.

    Args:
        pid: Its number.
        seconds: How long it may take.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
