"""Finished completions on disk, outside every declared output: appended as they finish, read back
by any later job.

One folder per skeleton file, one JSON Lines file per writing process. Files are only ever appended
to by the process that made them, so a job that dies in the middle of a line can spoil that line
alone, and no two jobs can spoil each other's.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cbdata.atomic_file import naming
from cbdata.fill.requests import RequestKey
from cbdata.records import BACKEND_NAMES, MODES, BackendName

logger = logging.getLogger(__name__)

SYNC_INTERVAL_S = 2.0
"""Longest time that a written completion stays unsynced: what a crash of the whole node can cost.
"""


@dataclass(frozen=True)
class Stored:
    """A finished completion as it is kept."""

    key: RequestKey
    token_ids: tuple[int, ...]
    finish_reason: str
    text: str
    backend: BackendName
    version: str

    def line(self) -> bytes:
        """The completion as a line with its newline."""
        return orjson.dumps(
            {
                **self.key._asdict(),
                "finish_reason": self.finish_reason,
                "backend": self.backend,
                "version": self.version,
                "token_ids": self.token_ids,
                "text": self.text,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )

    @classmethod
    def from_row(cls, row: Any) -> Stored:
        """Read a parsed ``line``. Raises ValueError, KeyError or TypeError for anything else."""
        if row["mode"] not in MODES or row["backend"] not in BACKEND_NAMES:
            raise ValueError(f"mode {row['mode']!r} of backend {row['backend']!r}")
        key = RequestKey(
            str(row["trace_id"]),
            row["mode"],
            int(row["attempt"]),
            str(row["prompt_sha256"]),
            str(row["sampling_sha256"]),
        )
        return cls(
            key,
            tuple(map(int, row["token_ids"])),
            str(row["finish_reason"]),
            str(row["text"]),
            row["backend"],
            str(row["version"]),
        )


class ProgressStore:
    """The completions of one skeleton file that are done, whatever shard layout made them.

    Use as a context manager, whose end syncs and closes this process's own file.
    """

    def __init__(self, folder: str | Path, label: str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._label = label
        self._fd: int | None = None
        self._unsynced = False
        self._last_sync = time.monotonic()

    def load(self, trace_ids: Iterable[str]) -> dict[RequestKey, Stored]:
        """Everything stored for these traces. A torn last line is dropped; any other unreadable
        line is skipped with a warning.

        Of two entries with one key the older file's counts (names begin with the time of their
        making), so what was published stays.
        """
        wanted = set(trace_ids)
        found: dict[RequestKey, Stored] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            with open(path, "rb") as handle:
                for number, line in enumerate(handle, start=1):
                    if not line.endswith(b"\n"):
                        logger.info(
                            "%s:%d: torn last line of a job that was stopped, dropped", path, number
                        )
                        continue
                    try:
                        row = orjson.loads(line)
                        if row["trace_id"] not in wanted:
                            continue
                        stored = Stored.from_row(row)
                    except (ValueError, KeyError, TypeError) as error:
                        logger.warning(
                            "%s:%d: not a stored completion (%s); it will be generated again",
                            path,
                            number,
                            error,
                        )
                        continue
                    found.setdefault(stored.key, stored)
        return found

    def append(self, entries: Iterable[Stored]) -> None:
        """Write finished completions; they survive the end of this process at once and that of the
        node within SYNC_INTERVAL_S.
        """
        data = b"".join(entry.line() for entry in entries)
        if not data:
            return
        if self._fd is None:
            self._fd = os.open(
                self._new_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666
            )
        view = memoryview(data)
        with naming(self.folder):
            while view:
                view = view[os.write(self._fd, view) :]
        self._unsynced = True
        if time.monotonic() - self._last_sync >= SYNC_INTERVAL_S:
            self.sync()

    def sync(self) -> None:
        """Force what was written to the disk."""
        if self._fd is not None and self._unsynced:
            with naming(self.folder):
                os.fsync(self._fd)
            self._unsynced = False
        self._last_sync = time.monotonic()

    def close(self) -> None:
        """Sync and close."""
        if self._fd is not None:
            self.sync()
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> ProgressStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new_file(self) -> Path:
        return (
            self.folder
            / f"{time.time_ns():020d}.{self._label}.{socket.gethostname()}.{os.getpid()}.jsonl"
        )
