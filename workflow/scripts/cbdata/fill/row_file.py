"""The file that ``fill_shard`` leaves and ``merge_fill`` reads, one fill_row_v1 a line: written
whole, and checked where it is read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import jsonschema_rs

from cbdata.atomic_file import AtomicFile
from cbdata.jsonl import JsonlError, dumps
from cbdata.lookup import Place, read_places
from cbdata.records import FillOutcome, FillRow, FillRun
from cbdata.schemas import load_schema


def write_rows(path: str | Path, rows: Iterable[FillOutcome], run: FillRun) -> None:
    """Publish a shard file.

    Args:
        path: Its name.
        rows: One for each skeleton and mode, in any order; they are written in the order of the
            skeletons, DS first.
        run: The work of the run that made them, the last line.
    """
    ordered = sorted(rows, key=lambda row: (row["line"], row["mode"] != "ds"))
    with AtomicFile(path) as out:
        for row in ordered:
            out.write(dumps(row))
        out.write(dumps(run))


def read_rows(path: str | Path) -> Iterator[tuple[Place, FillRow]]:
    """Yield every row of a shard file with its place. Raises JsonlError at the first line that is
    not a fill_row_v1; the trace of a row is left to trace_v1.
    """
    for place, record in read_places(path):
        if error := _row_error(record):
            raise JsonlError(
                place.path,
                place.line,
                "a row of a shard file (fill_row_v1)",
                error,
                "remove the file and run its rule again",
            )
        yield place, cast(FillRow, record)


@functools.cache
def _validators() -> dict[str, Any]:
    """A compiled validator for each kind of row: of a whole ``oneOf`` the library could only say
    that no alternative fits.
    """
    schema = load_schema("fill_row_v1")
    kinds = [choice["$ref"].rsplit("/", 1)[1] for choice in schema["oneOf"]]
    return {
        kind: jsonschema_rs.validator_for({"$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]})
        for kind in kinds
    }


def _row_error(record: dict[str, Any]) -> str | None:
    kind = record.get("row")
    validators = _validators()
    validator = validators.get(kind) if isinstance(kind, str) else None
    if validator is None:
        return f"row {kind!r}, which is none of {', '.join(validators)}"
    for error in validator.iter_errors(record):
        path = "/".join(str(part) for part in error.instance_path)
        return f"{path or f'a {kind} row'}: {error.message}"
    return None
