"""The file that ``fill_shard`` leaves and ``merge_fill`` reads, one fill_row_v1 a line: written
whole, and checked where it is read.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Iterable, Iterator, Sequence
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
    with AtomicFile(path) as out:
        for row in sorted(rows, key=_order):
            out.write(dumps(row))
        out.write(dumps(run))


def join_rows(parts: Sequence[str | Path], path: str | Path) -> FillRun:
    """Publish the parts of a shard, one for each engine, as its file.

    Args:
        parts: Files of ``write_rows``, each with rows of its own.
        path: The shard's file.

    Returns:
        The closing row: what the engines did, the seconds of generation of all of them together,
        and the seconds that the slowest took to load.
    """
    runs: list[FillRun] = []
    with AtomicFile(path) as out:
        for row in heapq.merge(*(_outcomes(part, runs) for part in parts), key=_order):
            out.write(dumps(row))
        out.write(dumps(_joined(runs)))
    return _joined(runs)


def _order(row: FillOutcome) -> tuple[int, bool]:
    return row["line"], row["mode"] != "ds"


def _outcomes(path: str | Path, runs: list[FillRun]) -> Iterator[FillOutcome]:
    """Yield the rows of a file, and keep the closing one."""
    for _, row in read_rows(path):
        if row["row"] == "run":
            runs.append(row)
        else:
            yield row


def _joined(runs: Sequence[FillRun]) -> FillRun:
    cached = [run.get("cached_prompt_tokens") for run in runs]
    told = [count for count in cached if count is not None]
    return {
        "row": "run",
        "shard": runs[0]["shard"],
        "shards": runs[0]["shards"],
        "generated": sum(run["generated"] for run in runs),
        "reused": sum(run["reused"] for run in runs),
        "prompt_tokens": sum(run["prompt_tokens"] for run in runs),
        "completion_tokens": sum(run["completion_tokens"] for run in runs),
        "seconds": sum(run["seconds"] for run in runs),
        "load_seconds": max(run["load_seconds"] for run in runs),
        "cached_prompt_tokens": sum(told) if told else None,
    }


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
