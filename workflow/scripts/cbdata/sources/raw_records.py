"""The records of a raw file in any form that its content tells: one a line, one or several printed
over many lines, or the elements of one JSON array.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import orjson

from cbdata.rejects import Reject
from cbdata.sources.raw_bytes import (
    DAMAGE,
    HEAD_BYTES,
    UTF8_BOM,
    damaged,
    open_raw,
    whole_file_problem,
)
from cbdata.sources.raw_lines import MAX_RECORD_BYTES, RawLine, read_lines, read_whole, too_long

if TYPE_CHECKING:
    from cbdata.sources.json_values import Value

_PIECE_BYTES = 1 << 18
_BLANK = b" \t\r\n"

Form = Literal["lines", "values", "array", "document", "empty"]


def read_records(path: Path, max_bytes: int = MAX_RECORD_BYTES) -> Iterator[RawLine]:
    """Yield the records of a file, blank lines included (their ``data`` is empty).

    The numbers are those of the lines that records begin in, or those of the elements of an array,
    from 1. A file called ``*.json`` that holds one object, or nothing that can be read, is one
    record without a number. Records are read as values over many lines, or as an array, only if the
    first one can be read so; everything else is read line by line.

    Args:
        path: The file, plain or compressed by gzip or zstd.
        max_bytes: Longest record that is read.

    Raises:
        SourceError: As ``open_raw`` does.
    """
    document = is_document(path.name)
    if document:
        whole = read_whole(path, max_bytes)
        problem = whole.problem.reason if whole.problem else None
        one = whole.data.startswith(b"{") and b"\n{" not in whole.data
        if problem not in (None, "line_too_long") or (one and problem is None):
            yield whole
            return
    form = _form(path, document, max_bytes)
    if form == "empty":
        yield RawLine(None, b"", Reject("empty_file", "expected records, the file is empty"), True)
    elif form == "document":
        yield read_whole(path, max_bytes)
    elif form == "lines":
        yield from read_lines(path, max_bytes)
    else:
        yield from _values(path, form == "array", max_bytes)


def is_document(name: str) -> bool:
    """Whether a file of this name should hold one JSON document."""
    return name.lower().removesuffix(".gz").removesuffix(".zst").endswith(".json")


def _form(path: Path, document: bool, max_bytes: int) -> Form:
    """How the records of a file are written."""
    try:
        with open_raw(path) as handle:
            if whole_file_problem(handle.peek(HEAD_BYTES)[:HEAD_BYTES]) is not None:
                return "lines"
            line = handle.readline(max_bytes + 1).removeprefix(UTF8_BOM)
            while line and not line.strip(_BLANK):
                line = handle.readline(max_bytes + 1)
            if not line:
                return "empty"
            value = _read(line)
            # Most files begin with an object, and then it does not matter.
            alone = (document or not isinstance(value, dict)) and not _more(handle)
        start = line.lstrip(_BLANK)[:1]
        if start == b"[" and (value is None or alone) and _first_values(path, True, max_bytes):
            return "array"
        if start == b"{" and value is None:
            values = _first_values(path, False, max_bytes)
            if values > int(document):
                return "values"
    except DAMAGE as error:
        damaged(error)
        return "lines"
    return "document" if document and (alone or not isinstance(value, dict)) else "lines"


def _first_values(path: Path, array: bool, max_bytes: int) -> int:
    """How many of the first two values of a file are there, 0 if the first is no JSON, or if it
    stands in one line and no JSON follows it: then it is a line that was damaged behind it. An
    empty array counts as one.
    """
    from cbdata.sources.json_values import split_values  # needed for few files, and not cheap

    with open_raw(path) as handle:
        values = split_values(_pieces(handle), array=array, max_bytes=max_bytes, head_bytes=0)
        firsts = list(islice(values, 2))
    if not firsts:
        return int(array)
    read = [each.closed and _read(each.data or b"") is not None for each in firsts]
    whole_line = not array and b"\n" not in (firsts[0].data or b"")
    return len(firsts) if all(read) or (read[0] and not whole_line) else 0


def _values(path: Path, array: bool, max_bytes: int) -> Iterator[RawLine]:
    from cbdata.sources.json_values import split_values

    with open_raw(path) as handle:
        number = 0
        values = split_values(
            _pieces(handle), array=array, max_bytes=max_bytes, head_bytes=HEAD_BYTES
        )
        try:
            for number, value in enumerate(values, start=1):
                yield _record(value, number if array else value.line, array, max_bytes)
        except DAMAGE as error:
            yield RawLine(number + 1, b"", damaged(error), True)
            return
    if not number:
        yield RawLine(None, b"", Reject("empty_file", "expected records, the array is empty"), True)


def _record(value: Value, number: int, array: bool, max_bytes: int) -> RawLine:
    if value.data is None:
        return RawLine(number, value.head, too_long(value.length, max_bytes), True)
    if array and not value.closed:
        problem = Reject("cut_off", "the array is not closed: the file ends within this element")
        return RawLine(number, value.head, problem, True)
    return RawLine(number, value.data, None, value.closed)


def _pieces(handle: BufferedReader) -> Iterable[bytes]:
    first = handle.read(_PIECE_BYTES).removeprefix(UTF8_BOM)
    yield first
    yield from iter(partial(handle.read, _PIECE_BYTES), b"")


def _more(handle: BufferedReader) -> bool:
    """Whether anything but blanks follows."""
    return any(piece.strip(_BLANK) for piece in iter(partial(handle.read, _PIECE_BYTES), b""))


def _read(data: bytes) -> object:
    """The value of a JSON text, None if it is none."""
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value
