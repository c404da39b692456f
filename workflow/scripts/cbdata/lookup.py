"""Random access by id into JSON Lines files that may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import orjson

from cbdata.counted_file import open_counted
from cbdata.disk_table import DiskTable
from cbdata.jsonl import JsonlError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: file, line from 1, and its bytes ``[offset, offset + length)``."""

    path: Path
    line: int
    offset: int
    length: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"

    def packed(self) -> tuple[str, int, int, int]:
        """The place as JSON values."""
        return str(self.path), self.line, self.offset, self.length

    @classmethod
    def unpack(cls, values: Sequence[Any]) -> Place:
        """The place of ``packed`` values."""
        path, line, offset, length = values
        return cls(Path(path), line, offset, length)


def read_places(path: str | Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield every record of a file with its place. Raises JsonlError at the first line that is not
    a JSON object.
    """
    path, offset = Path(path), 0
    with open_counted(path) as handle:
        for line, data in enumerate(handle, start=1):
            place = Place(path, line, offset, len(data))
            offset += len(data)
            yield place, _parse(place, data)


def _parse(place: Place, data: bytes) -> dict[str, Any]:
    hint = "write the file again; every line must be one JSON object"
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise JsonlError(
            place.path, place.line, "a JSON object", f"{data[:80]!r} ({error})", hint
        ) from error
    if not isinstance(record, dict):
        raise JsonlError(place.path, place.line, "a JSON object", type(record).__name__, hint)
    return record


class PlaceTable:
    """Places by name, each with what a later pass must know of the record; on disk, so that memory
    does not grow with the files.
    """

    def __init__(self) -> None:
        self._table = DiskTable(("file", "line", "start", "length", "about"))
        self._files: dict[Path, int] = {}
        self._paths: list[Path] = []

    def add(self, name: str, place: Place, about: Any = None) -> bool:
        """Remember a place unless the name has one.

        Args:
            name: The record's name.
            place: Where it stands.
            about: A JSON value.

        Returns:
            Whether the name was new.
        """
        return self._table.add(name, *self._row(place, about))

    def set(self, name: str, place: Place, about: Any = None) -> None:
        """Remember a place, also instead of an earlier one. Arguments as for ``add``."""
        self._table.set(name, *self._row(place, about))

    def get(self, name: str) -> Place | None:
        """The place of a name, or None."""
        found = self._table.get(name)
        return None if found is None else self._place(found)

    def find(self, name: str) -> tuple[Place, Any] | None:
        """Place and ``about`` of a name, or None."""
        found = self._table.get(name)
        return None if found is None else (self._place(found), orjson.loads(found[4]))

    def items(self) -> Iterator[tuple[str, Place, Any]]:
        """Name, place and ``about`` of all, in the order in which the names came."""
        for name, *row in self._table.rows():
            yield name, self._place(row), orjson.loads(row[4])

    def __contains__(self, name: str) -> bool:
        return name in self._table

    def __len__(self) -> int:
        return len(self._table)

    def _row(self, place: Place, about: Any) -> tuple[int, int, int, int, bytes]:
        number = self._files.get(place.path)
        if number is None:
            number = self._files[place.path] = len(self._paths)
            self._paths.append(place.path)
        return number, place.line, place.offset, place.length, orjson.dumps(about)

    def _place(self, row: Sequence[Any]) -> Place:
        return Place(self._paths[row[0]], row[1], row[2], row[3])


class RecordFiles:
    """Records of JSON Lines files, read where they stand. Use as a context manager."""

    def __init__(self) -> None:
        self._handles: dict[Path, BinaryIO] = {}

    def read(self, place: Place) -> dict[str, Any]:
        """The record at a place."""
        handle = self._handles.get(place.path)
        if handle is None:
            handle = self._handles[place.path] = open(place.path, "rb")  # noqa: SIM115 - closed by __exit__
        handle.seek(place.offset)
        return _parse(place, handle.read(place.length))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles.values():
            handle.close()
        self._handles.clear()


class RecordIndex(RecordFiles):
    """Records of some files by the string under ``key``: places in a table on disk, records read
    when asked for.

    Raises JsonlError for a record without the key or with one that an earlier record has. Use as a
    context manager.
    """

    def __init__(self, paths: Sequence[str | Path], key: str) -> None:
        super().__init__()
        self.key = key
        self._places = PlaceTable()
        for path in paths:
            for place, record in read_places(path):
                self._add(place, record)

    @classmethod
    def of(cls, places: PlaceTable) -> RecordIndex:
        """An index over places that are known already."""
        index = cls((), "")
        index._places = places
        return index

    def _add(self, place: Place, record: dict[str, Any]) -> None:
        name = record.get(self.key)
        if not isinstance(name, str):
            raise JsonlError(
                place.path,
                place.line,
                f"a record with {self.key}",
                repr(name),
                "is this file of the right kind?",
            )
        if not self._places.add(name, place):
            hint = f"it stands at {self._places.get(name)} already; give each file once"
            raise JsonlError(place.path, place.line, f"{self.key} values to differ", name, hint)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def place(self, name: str) -> Place | None:
        """Where the record stands, or None."""
        return self._places.get(name)

    def get(self, name: str) -> dict[str, Any] | None:
        """The record, or None."""
        place = self._places.get(name)
        return None if place is None else self.read(place)
