"""One job for each piece of work: locks that the kernel drops when their process ends, however it
ends.
"""

from __future__ import annotations

import errno
import fcntl
import logging
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
    file's content only says who holds it. Where two jobs slip through all the same (a file system
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
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            told = None
            while (holder := self._try(fd)) is not None:
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
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return self

    def _try(self, fd: int) -> str | None:
        """Take the lock if nobody works on the same skeletons, else say who does.

        Looking and taking are one step: whoever starts at the same time looks afterwards.
        """
        with _turn(self.path.with_name("locks")):
            if not _take(fd, self.path):
                return _owner(fd)
            for other in self._other_divisions():
                if (holder := _holder(other)) is not None:
                    fcntl.lockf(fd, fcntl.LOCK_UN)
                    return f"{holder} ({other.stem})"
            owner = {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "slurm_job": os.environ.get("SLURM_JOB_ID"),
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
            with naming(self.path):
                os.ftruncate(fd, 0)
                os.pwrite(fd, orjson.dumps(owner, option=orjson.OPT_APPEND_NEWLINE), 0)
                # Over NFS others see the size once it is at the server.
                os.fsync(fd)
        return None

    def _other_divisions(self) -> Iterator[Path]:
        """Locks of shards that are no part of this division."""
        division = self.path.stem.partition("-of-")[2]
        for path in self.path.parent.glob("*-of-*.lock"):
            if path.stem.partition("-of-")[2] != division:
                yield path

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Hold a lock for a moment, so that no two processes look and take at once."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while not _take(fd, path):
            time.sleep(0.05)
        yield
    finally:
        os.close(fd)


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
    """Who holds a lock; None if nobody does. An empty file is held by nobody, which saves a
    question to the file server; opening it asks how long it is now, where ``stat`` may answer from
    a cache.
    """
    fd = os.open(path, os.O_RDWR)
    try:
        if not os.fstat(fd).st_size:
            return None
        return None if _take(fd, path) else _owner(fd)
    finally:
        os.close(fd)


def _owner(fd: int) -> str:
    return os.pread(fd, 4096, 0).decode("utf-8", "backslashreplace").strip() or "unknown"
