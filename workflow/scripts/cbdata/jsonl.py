"""JSON Lines as the project writes and reads it: one record a line, UTF-8, no NaN, whole files or
none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson


class JsonlError(ValueError):
    """A line of one of the project's own files is not what it must be: names file, line, what was
    expected and a hint.
    """

    def __init__(self, path: str | Path, line: int, expected: str, got: str, hint: str) -> None:
        super().__init__(f"{path}:{line}: expected {expected}, got {got}. Hint: {hint}")


def dumps(record: Any) -> bytes:
    """One record as a line with its newline; key order is the caller's, so equal input gives equal
    bytes.
    """
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def read_records(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line number from 1, record)`` of a file that the workflow wrote itself.

    Strict on purpose: these files are published whole, so a bad line means that somebody edited or
    cut the file. Raises JsonlError at the first line that is not a JSON object. Raw input with
    errors in it is read elsewhere (``cbdata.sources``), where a bad line becomes a reject.
    """
    with open(path, "rb") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise JsonlError(
                    path,
                    number,
                    "a JSON object",
                    f"{line[:80]!r} ({error})",
                    "remove the file and run its rule again",
                ) from error
            if not isinstance(record, dict):
                raise JsonlError(
                    path,
                    number,
                    "a JSON object",
                    type(record).__name__,
                    "remove the file and run its rule again",
                )
            yield number, record


class AtomicFile:
    """Bytes written beside ``path`` and moved onto it by ``publish``, so that a final name never
    holds half a file.

    The temporary name holds the process id: two writers by mistake do not mix their bytes.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = open(self.temporary, "wb", buffering=1 << 20)  # noqa: SIM115 - closed by publish or discard
        self.write = self._handle.write

    def close(self) -> None:
        """Flush to disk and close, without publishing."""
        if not self._handle.closed:
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._handle.close()

    def publish(self) -> None:
        """Give the file its final name."""
        self.close()
        os.replace(self.temporary, self.path)

    def discard(self) -> None:
        """Remove what was written."""
        self._handle.close()
        self.temporary.unlink(missing_ok=True)


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write a small file whole."""
    file = AtomicFile(path)
    try:
        file.write(data)
    except BaseException:
        file.discard()
        raise
    file.publish()
