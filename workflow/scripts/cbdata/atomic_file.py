"""Files that appear whole or not at all.

Everything is written under a hidden name beside the final one, ``.{name}.{host}.{pid}.part``, and
moved onto it when it is complete. What a killed process left there is removed by the next writer of
the same file, never by the writer of another file: that one may be running on another machine.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

BUFFER_BYTES = 1 << 18

HINTS = {
    errno.ENOSPC: "free space on that file system, or set output_base to one with more",
    errno.EDQUOT: "your quota there is used up: free space, or set output_base elsewhere",
    errno.EFBIG: "a limit on the size of files is set (ulimit -f); lift it",
    errno.EACCES: "you may not write there: correct the permissions, or set output_base elsewhere",
    errno.EPERM: "you may not write there: correct the permissions, or set output_base elsewhere",
    errno.EROFS: "that file system is mounted read-only; set output_base elsewhere",
    errno.ENAMETOOLONG: "give the data set a shorter name",
    errno.EISDIR: "a folder has the name of the file; move it away",
    errno.ENOTDIR: "a file stands where a folder must be; move it away",
    errno.EIO: "the disk or the network file system failed; look at its state, then run again",
    errno.ESTALE: "the network file system lost the file; run again",
}
_WRITER = re.compile(r"([^.]+)\.([0-9]+)")

OTHER_HINT = "see whether the folder can be written to, then run again"


class FileError(OSError):
    """The operating system refused to write a file: names the file and what to do."""

    def __init__(self, path: str | Path, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error), str(path))

    def __str__(self) -> str:
        hint = HINTS.get(self.errno or 0, OTHER_HINT)
        return f"{self.filename} could not be written: {self.strerror}. Hint: {hint}"


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Turn an OSError, which does not say what was being written, into a FileError for ``path``."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise FileError(path, error) from error


def part_path(path: Path) -> Path:
    """The hidden name under which this process writes ``path``.

    The folder is made, and what dead writers of the same file left in it is removed. A ``.part`` of
    another host counts as dead: Snakemake locks an output while a run makes it, so its earlier
    writer is gone. One of a process that lives on this host is left alone.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        host = _host()
        own = path.with_name(f".{path.name}.{host}.{os.getpid()}.part")
        begins, ends = f".{path.name}.", ".part"
        for name in os.listdir(path.parent):
            if not (name.startswith(begins) and name.endswith(ends)):
                continue
            # Neither field holds a dot, so that a file "a" never claims a leftover of "a.b".
            match = _WRITER.fullmatch(name[len(begins) : -len(ends)])
            if match is None or (match[1] == host and name != own.name and _lives(int(match[2]))):
                continue
            path.with_name(name).unlink(missing_ok=True)
            logger.info("%s: removed, left by a job that was stopped", path.with_name(name))
    return own


def remove_part(part: Path) -> None:
    """Remove an unfinished file. It is only reported where that fails: an earlier error is more
    important, and the next writer tries again.
    """
    try:
        part.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s could not be removed: %s", part, error.strerror)


class AtomicFile:
    """Bytes written beside ``path`` and moved onto it by ``publish``, so that a final name never
    holds half a file.

    As a context manager it publishes on a clean exit and discards on an exception, including one
    of closing the file. The temporary name holds host and process: two writers by mistake do not
    mix their bytes. Raises FileError, which names the file, for whatever the system refuses.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.temporary = part_path(self.path)
        with naming(self.path):
            self.handle = open(self.temporary, "wb", buffering=BUFFER_BYTES)  # noqa: SIM115 - closed by publish or discard

    def write(self, data: bytes) -> int:
        """Write all of ``data``; returns its length."""
        try:
            return self.handle.write(data)
        except OSError as error:
            raise FileError(self.path, error) from error

    def close(self) -> None:
        """Flush to disk and close, without publishing."""
        if not self.handle.closed:
            with naming(self.path):
                self.handle.flush()
                os.fsync(self.handle.fileno())
                self.handle.close()

    def publish(self, path: Path | None = None) -> None:
        """Give the file its final name, or that of another ``path`` in the same folder."""
        self.close()
        with naming(path or self.path):
            os.replace(self.temporary, path or self.path)

    def discard(self) -> None:
        """Remove what was written, also where it cannot even be closed (a full disk); nothing
        happens to a published file.
        """
        with contextlib.suppress(OSError):  # what could not be flushed is thrown away
            self.handle.close()
        remove_part(self.temporary)

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.publish()
        finally:
            self.discard()


def open_together(paths: Iterable[str | Path]) -> list[AtomicFile]:
    """Open several files, or none if one of them cannot be opened."""
    files: list[AtomicFile] = []
    try:
        for path in paths:
            files.append(AtomicFile(path))
    except BaseException:
        discard_together(files)
        raise
    return files


def publish_together(files: Sequence[AtomicFile]) -> None:
    """Give several files their names once all of them are safely on disk."""
    for file in files:
        file.close()
    for file in files:
        file.publish()


def discard_together(files: Iterable[AtomicFile]) -> None:
    """Discard each file that has not been published."""
    for file in files:
        file.discard()


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write a small file whole."""
    with AtomicFile(path) as file:
        file.write(data)


def _host() -> str:
    return os.uname().nodename.replace(".", "-")[:64]


def _lives(pid: int) -> bool:
    """Whether a process of this number runs on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True
