"""Which files the path of a source stands for, and what each is called in the output."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cbdata.sources import SourceError

logger = logging.getLogger(__name__)

_TAIL = {".jsonl": 1, ".json": 5}
"""How many last parts of its path name a file: an export by its own name, a run by
``pipeline/suite/user_task/attack/injection.json``.
"""


def input_files(paths: Sequence[str | Path], key: str) -> list[str]:
    """The files of some files and folders, each once and sorted.

    Folders are searched to their leaves for ``*.jsonl`` and ``*.json``; hidden files and folders
    are left out.

    Args:
        paths: Files and folders.
        key: The configuration's key of the paths, for errors.

    Raises:
        SourceError: There is no path, a path does not exist, or a folder has no such file.
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
                    f"{path} holds no *.jsonl and no *.json file. Hint: point {key} at the exports"
                    " or at a runs/ tree"
                )
            files |= found
        elif path.exists():
            files.add(str(path))
        else:
            raise SourceError(f"{path} does not exist. Hint: check {key} in the config")
    return sorted(files)


def _walk(folder: Path) -> Iterable[Path]:
    ignored = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.startswith(".") or os.path.splitext(name)[1] not in _TAIL:
                ignored += 1
            else:
                yield Path(parent, name)
    if ignored:
        logger.warning(
            "%s: %d files that are neither *.jsonl nor *.json are left out", folder, ignored
        )


def source_names(files: Iterable[str]) -> list[tuple[str, Path]]:
    """(name in the output, path) for each file, sorted by name: the order in which they are
    converted.

    A name has as few of the last parts of its path as tell the files apart, so that it does not
    depend on where the data lie.
    """
    paths = [Path(os.path.abspath(file)) for file in files]
    tails = [_TAIL.get(path.suffix, 1) for path in paths]
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
