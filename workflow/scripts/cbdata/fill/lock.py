"""One job for each piece of work: locks that the kernel drops when their process ends, however it
ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from cbdata.atomic_file import naming

logger = logging.getLogger(__name__)

POLL_S = 5.0
"""Seconds between two looks at a lock that somebody else holds."""

LEAVE_S = 2.0
"""How long the end of a job may wait to remove its lock's file."""

REMIND_S = 600.0
"""Seconds between two messages that say who is waited for."""


class ShardLock:
    """The right to work on a shard, held as a context manager: nobody else works on it, and nobody
    works on the same skeletons in another division into shards.

    Whoever holds that work is waited for, since the work is the same: what was generated meanwhile
    is in the progress store. That may be a job of a killed Snakemake, of another directory with the
    same outputs, or this very job before SLURM requeued it. A job's time limit and the stop signals
    end the waiting.

    These are POSIX record locks on files beside the progress of the shards. They work over NFS, end
    with the process even after SIGKILL and are not inherited by the engine's child processes. A
    file's content only says who holds it, and a file that nobody holds is removed, by its holder or
    by whoever looks next; files are opened and removed by one process at a time (``_turn``), so
    nobody takes one that is removed. Where two jobs slip through all the same (a file system
    without locks between nodes), they waste work but spoil nothing: each writes its own progress
    file, and outputs are moved into place whole.

    Args:
        path: The lock file, named like ``0-of-2.lock``. The files of other divisions lie beside it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._fd: int | None = None

    def __enter__(self) -> ShardLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        told = None
        while (holder := self._try()) is not None:
            if told is None or time.monotonic() - told >= REMIND_S:
                told = time.monotonic()
                logger.warning(
                    "another job works on these skeletons, so this one waits for its end: %s."
                    " Hint: to end that job, use kill or scancel; the lock goes with its"
                    " process",
                    holder,
                )
            time.sleep(POLL_S)
        if told is not None:
            logger.info("the other job has ended; what it had generated is taken over")
        return self

    def _try(self) -> str | None:
        """Take the lock if nobody works on the same skeletons, else say who does.

        Looking and taking are one step: whoever starts at the same time looks afterwards.
        """
        with _turn(self.path.with_name("locks")):
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if not _take(fd, self.path):
                    return _owner(fd)
                for other in self._other_divisions():
                    if (holder := _holder(other)) is not None:
                        _remove(self.path)
                        return f"{holder} ({other.stem})"
                _sign(fd, self.path)
                self._fd, fd = fd, -1
            finally:
                if fd >= 0:
                    os.close(fd)
        return None

    def _other_divisions(self) -> Iterator[Path]:
        """Locks of shards that are no part of this division."""
        division = self.path.stem.partition("-of-")[2]
        for path in self.path.parent.glob("*-of-*.lock"):
            if path.stem.partition("-of-")[2] != division:
                yield path

    def __exit__(self, *_: object) -> None:
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        try:
            os.ftruncate(fd, 0)
            with _turn(self.path.with_name("locks"), LEAVE_S) as mine:
                if mine:
                    _remove(self.path)
                # In one's turn: over NFS a removed file goes when it is closed, and who opens it
                # before gets an error.
                os.close(fd)
                fd = -1
        except OSError as error:
            # The work is done and on disk; the next one who looks clears up.
            logger.warning("%s: %s", self.path, error)
        finally:
            if fd >= 0:
                os.close(fd)


@contextmanager
def _turn(path: Path, seconds: float = math.inf) -> Iterator[bool]:
    """Hold a lock for a moment, so that no two processes look and take at once.

    Args:
        path: Its file.
        seconds: How long it is waited for at most.

    Yields:
        Whether it is held.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    end = time.monotonic() + seconds
    try:
        while not (mine := _take(fd, path)) and time.monotonic() < end:
            time.sleep(0.05)
        yield mine
    finally:
        os.close(fd)


def _sign(fd: int, path: Path) -> None:
    """Say in a lock's file who holds it."""
    owner = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    with naming(path):
        os.ftruncate(fd, 0)
        os.pwrite(fd, orjson.dumps(owner, option=orjson.OPT_APPEND_NEWLINE), 0)
        # Over NFS others see the size once it is at the server.
        os.fsync(fd)


def _remove(path: Path) -> None:
    """Remove a lock's file, in one's turn and with the lock held; one that cannot be removed is
    harmless.
    """
    with contextlib.suppress(OSError):
        path.unlink()


def _take(fd: int, path: Path) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise OSError(
            error.errno,
            f"{path}: this file system refuses locks ({error.strerror}). Hint: put"
            " output_base on one that has them",
        ) from error
    return True


def _holder(path: Path) -> str | None:
    """Who holds a lock; None if nobody does: its file, which a killed process left, goes then, so
    that those of an earlier division are not looked at for ever.
    """
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        # A list of files may be out of date over NFS.
        return None
    try:
        if not _take(fd, path):
            return _owner(fd)
        _remove(path)
        return None
    finally:
        os.close(fd)


def _owner(fd: int) -> str:
    return os.pread(fd, 4096, 0).decode("utf-8", "backslashreplace").strip() or "unknown"
