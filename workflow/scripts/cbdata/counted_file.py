"""Files that say how far they have been read, so that a progress line can tell the share of an
input whose records nobody has counted.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 1 << 18
_READ: dict[str, int] = {}
"""Path -> bytes read of it by this process, the furthest of all times it was opened."""


class _CountedFile(io.FileIO):
    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._path, self._position = os.fspath(path), 0

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = super().readinto(buffer)
        self._count(count)
        return count

    def readall(self) -> bytes:
        data = super().readall()
        self._count(len(data))
        return data

    def _count(self, read: int) -> None:
        self._position += read
        _READ[self._path] = max(_READ.get(self._path, 0), self._position)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._position = super().seek(offset, whence)
        return self._position


def open_counted(path: str | Path) -> io.BufferedReader:
    """Open a file to read its bytes from the beginning to the end; ``share_read`` sees how far."""
    return io.BufferedReader(_CountedFile(path), _BUFFER_BYTES)


class ShareRead:
    """How much of some files this process has read since this object was made."""

    def __init__(self, files: Sequence[str | Path]) -> None:
        """Look at the sizes of the files; one that is not there counts as empty.

        Args:
            files: The files, under the names that they are opened by.
        """
        self._sizes = {os.fspath(path): _size(path) for path in files}
        self._total = sum(self._sizes.values())
        for path in self._sizes:
            _READ.pop(path, None)

    def __call__(self) -> float | None:
        """The share of their bytes, 0 to 1; None where there are none. What was read of a file more
        than once counts once.
        """
        if not self._total:
            return None
        read = (min(_READ.get(path, 0), size) for path, size in self._sizes.items())
        return sum(read) / self._total


def _size(path: str | Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
