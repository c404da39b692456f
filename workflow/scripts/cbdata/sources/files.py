"""Which files the path of a source stands for, and what each is called in the output."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cbdata.sources import SourceError

logger = logging.getLogger(__name__)

_TAIL = {".jsonl": 1, ".ndjson": 1, ".json": 5}
"""How many last parts of its path name a file: an export by its own name, a run by
``pipeline/suite/user_task/attack/injection.json``.
"""
_COMPRESSED = (".gz", ".zst")


def _kind(name: str) -> str:
    """The ending of a file's name without that of its compression."""
    name = name.lower()
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    return os.path.splitext(name)[1]


def input_files(paths: Sequence[str | Path], key: str) -> list[str]:
    """The files of some files and folders, each once and sorted.

    Folders, also linked ones, are searched to their leaves for ``*.jsonl``, ``*.ndjson`` and
    ``*.json``, plain or compressed (``*.gz``, ``*.zst``). Hidden files and folders are left out, as
    is a folder that was searched under another name; all of this is logged.

    Args:
        paths: Files and folders.
        key: The configuration's key of the paths, for errors.

    Raises:
        SourceError: There is no path, a path or what a link leads to does not exist, a folder
            cannot be read, or it has no such file.
    """
    if not paths:
        raise SourceError(
            f"{key}: expected a file, a directory or a list of them, got an empty list. Hint: null"
            " leaves the source out"
        )
    files: set[str] = set()
    for entry in paths:
        path = Path(entry)
        if path.is_dir():
            found = {str(file) for file in _walk(path)}
            if not found:
                raise SourceError(
                    f"{path} holds no *.jsonl, *.ndjson or *.json file. Hint: point {key} at the"
                    " exports or at a runs/ tree"
                )
            files |= found
        elif path.exists():
            files.add(str(path))
        else:
            raise SourceError(f"{path} does not exist. Hint: check {key} in the config")
    return sorted(files)


def _walk(folder: Path) -> Iterable[Path]:
    ignored = hidden = 0
    searched: dict[str, str] = {}
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_unreadable):
        folders.sort()
        hidden += sum(name.startswith(".") for name in folders)
        real = os.path.realpath(parent)
        if real in searched:  # a link to it, perhaps from below: then the search would never end
            logger.warning("%s is %s and is searched once", parent, searched[real])
            folders.clear()
            continue
        searched[real] = parent
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            may_be_read = _kind(name) in _TAIL or "." not in name
            if path.is_symlink() and not path.exists() and may_be_read:
                raise SourceError(
                    f"{path} is a link to {path.readlink()}, which is not there. Hint: mount or"
                    " copy what it leads to, or remove the link"
                )
            if name.startswith(".") or _kind(name) not in _TAIL:
                ignored += 1
            else:
                yield path
    if ignored:
        logger.warning(
            "%s: %d files that are neither *.jsonl, *.ndjson nor *.json are left out",
            folder,
            ignored,
        )
    if hidden:
        logger.warning("%s: %d hidden folders are left out", folder, hidden)


def _unreadable(error: OSError) -> None:
    raise SourceError(
        f"{error.filename} cannot be searched ({error.strerror}). Hint: correct the permissions, or"
        " move it away"
    ) from error


def source_names(files: Iterable[str]) -> list[tuple[str, Path]]:
    """(name in the output, path) for each file, sorted by name: the order in which they are
    converted.

    A name has as few of the last parts of its path as tell the files apart, so that it does not
    depend on where the data lie.
    """
    paths = [Path(os.path.abspath(file)) for file in files]
    tails = [_TAIL.get(_kind(path.name), 1) for path in paths]
    while True:
        names = ["/".join(path.parts[-tail:]) for path, tail in zip(paths, tails, strict=True)]
        taken = Counter(names)
        longer = [
            tail + 1 if taken[name] > 1 and tail < len(path.parts) else tail
            for name, tail, path in zip(names, tails, paths, strict=True)
        ]
        if longer == tails:
            break
        tails = longer
    return sorted(zip(names, paths, strict=True))
