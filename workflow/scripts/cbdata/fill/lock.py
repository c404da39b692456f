"""One job per shard: a lock that the kernel drops when its process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import time
from pathlib import Path

import orjson

logger = logging.getLogger(__name__)

POLL_S = 5.0
"""Seconds between two looks at a lock that an earlier try of the same SLURM job holds."""


class ShardBusy(RuntimeError):
    """Another job works on this shard: names it."""


class ShardLock:
    """A POSIX record lock on a file beside the progress of a shard, held as a context manager.

    Record locks work over NFS, end with the process even after SIGKILL and are not inherited by the
    engine's child processes. The file's content only says who holds it. Where two jobs slip through
    all the same (a file system without locks between nodes), they waste work but spoil nothing:
    each writes its own progress file, and outputs are moved into place whole.

    A holder with this process's own SLURM job id is this job before SLURM requeued it: its node was
    given up as dead, and either works on out of SLURM's reach or has left a lock that the file
    server has yet to expire. Such a holder is waited for, any other is an error.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._fd: int | None = None

    def __enter__(self) -> ShardLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        job = os.environ.get("SLURM_JOB_ID")
        try:
            waiting = False
            while not self._take(fd):
                owner = (
                    os.pread(fd, 4096, 0).decode("utf-8", "backslashreplace").strip() or "unknown"
                )
                if job is None or _slurm_job(owner) != job:
                    raise ShardBusy(
                        f"{self.path}: another job works on this shard: {owner}. Hint: wait for it,"
                        " or end it (kill, scancel); the lock goes with its process"
                    )
                if not waiting:
                    logger.warning(
                        "SLURM started job %s again while its first try still holds the shard (%s):"
                        " waiting for it to end",
                        job,
                        owner,
                    )
                waiting = True
                time.sleep(POLL_S)
        except BaseException:
            os.close(fd)
            raise
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "slurm_job": job,
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        os.ftruncate(fd, 0)
        os.pwrite(fd, orjson.dumps(holder, option=orjson.OPT_APPEND_NEWLINE), 0)
        self._fd = fd
        return self

    def _take(self, fd: int) -> bool:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise OSError(
                error.errno,
                f"{self.path}: this file system refuses locks ({error.strerror}). Hint: put"
                " output_base on one that has them",
            ) from error
        return True

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


def _slurm_job(owner: str) -> str | None:
    """The SLURM job id in a lock file's content; None if it has none or is being written."""
    try:
        job = orjson.loads(owner)["slurm_job"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return job if isinstance(job, str) else None
