"""Random access by id into JSON Lines files that may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from cbdata.counted_file import open_counted
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


class RecordIndex:
    """Records of some files by the string under ``key``: places in memory (about 300 bytes each),
    records read when asked for.

    Raises JsonlError for a record without the key or with one that an earlier record has. Use as a
    context manager.
    """

    def __init__(self, paths: Sequence[str | Path], key: str) -> None:
        self.key = key
        self._places: dict[str, Place] = {}
        self._handles: dict[Path, BinaryIO] = {}
        for path in paths:
            for place, record in read_places(path):
                self._add(place, record)

    @classmethod
    def of(cls, places: Mapping[str, Place]) -> RecordIndex:
        """An index over places that are known already."""
        index = cls((), "")
        index._places = dict(places)
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
        if name in self._places:
            hint = f"it stands at {self._places[name]} already; give each file once"
            raise JsonlError(place.path, place.line, f"{self.key} values to differ", name, hint)
        self._places[name] = place

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def place(self, name: str) -> Place:
        """Where the record stands; KeyError if there is none."""
        return self._places[name]

    def get(self, name: str) -> dict[str, Any] | None:
        """The record, or None."""
        place = self._places.get(name)
        return None if place is None else self.read(place)

    def read(self, place: Place) -> dict[str, Any]:
        """The record at a place of one of these files."""
        handle = self._handles.get(place.path)
        if handle is None:
            handle = self._handles[place.path] = open(place.path, "rb")  # noqa: SIM115 - closed by __exit__
        handle.seek(place.offset)
        return _parse(place, handle.read(place.length))

    def __enter__(self) -> RecordIndex:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles.values():
            handle.close()
        self._handles.clear()
