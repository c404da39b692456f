"""Folders of JSON Lines files, one or several a split, that are published together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from cbdata.atomic_file import AtomicFile, discard_together, publish_together
from cbdata.export.rows import check_split
from cbdata.jsonl import dumps


class JsonlFolder:
    """The files of an output folder. Use as a context manager: all of them are published or none,
    and files that an earlier export left there are removed.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder, which is an output of the rule with or without rows.

        Args:
            folder: The folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._files: dict[str, AtomicFile] = {}

    def add(self, split: str, row: Mapping[str, Any], name: str | None = None) -> None:
        """Write a row to ``{split}.jsonl``, or to ``{split}/{name}.jsonl``.

        Args:
            split: The split's name.
            row: The row.
            name: The file in the split's folder, where a split has several.

        Raises:
            ExportError: The name of the split is none for a file.
        """
        self._file(split, name).write(dumps(row))

    def touch(self, split: str, name: str) -> None:
        """Have ``{split}/{name}.jsonl``, even if no row comes. Arguments and errors as for
        ``add``.
        """
        self._file(split, name)

    def _file(self, split: str, name: str | None) -> AtomicFile:
        stem = check_split(split)
        relative = f"{stem}.jsonl" if name is None else f"{stem}/{name}.jsonl"
        if relative not in self._files:
            self._files[relative] = AtomicFile(self.folder / relative)
        return self._files[relative]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                publish_together(list(self._files.values()))
                own = {self.folder / name for name in self._files}
                for stale in set(self.folder.rglob("*.jsonl")) - own:
                    stale.unlink()
        finally:
            discard_together(self._files.values())
