"""Raw input in any state, read as a stream: each line or file comes out as bytes or as the reason
why it cannot be read.

Memory is bounded by ``max_bytes`` per record, whatever the input holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cbdata.ids import canonical_json
from cbdata.rejects import Reject
from cbdata.sources import shown
from cbdata.sources.raw_bytes import (
    DAMAGE,
    HEAD_BYTES,
    UTF8_BOM,
    damaged,
    open_raw,
    whole_file_problem,
)
from cbdata.sources.strict_json import AmbiguousJson, strict_loads
from cbdata.stage import RAW_EXCERPT_BYTES

MAX_RECORD_BYTES = 16 << 20
"""Longest record that is read; the longest real one known, an AgentDojo transcript, is under 1 MB.
"""

_DEPTH_MARGIN = 8
"""Levels that later stages may put around what ETL_A writes. orjson reads 1,024 levels but writes
254.
"""


class RawLine(NamedTuple):
    """One record as it lies in the file: ``number`` counts lines from 1 and is None where the whole
    file is meant.

    ``problem`` is set where the bytes cannot be a record; ``data`` then holds no more than an
    excerpt.
    """

    number: int | None
    data: bytes
    problem: Reject | None
    complete: bool
    """False for a last line without its newline."""


def read_lines(path: Path, max_bytes: int = MAX_RECORD_BYTES) -> Iterator[RawLine]:
    """Yield the lines of a JSON Lines file, empty ones included (their ``data`` is empty).

    A file compressed by gzip or zstd is decompressed. Raises SourceError for a missing file, a
    directory and a git-lfs pointer.
    """
    number = 0
    with open_raw(path) as handle:
        try:
            head = handle.peek(HEAD_BYTES)[:HEAD_BYTES]
            problem = whole_file_problem(head)
            if problem is not None:
                yield RawLine(None, head, problem, True)
                return
            while line := handle.readline(max_bytes + 1):
                number += 1
                line = line.removeprefix(UTF8_BOM)  # also of a file that was joined to another
                if len(line) > max_bytes and not line.endswith(b"\n"):
                    length = len(line) + _skip_line(handle)
                    yield RawLine(
                        number, line[:RAW_EXCERPT_BYTES], too_long(length, max_bytes), True
                    )
                else:
                    yield RawLine(number, line.strip(b" \t\r\n"), None, line.endswith(b"\n"))
        except DAMAGE as error:
            yield RawLine(number + 1, b"", damaged(error), True)


def read_whole(path: Path, max_bytes: int = MAX_RECORD_BYTES) -> RawLine:
    """A file that holds one JSON document, as one record. Raises SourceError as ``read_lines``
    does.
    """
    with open_raw(path) as handle:
        try:
            data = handle.read(max_bytes + 1)
            problem = whole_file_problem(data[:HEAD_BYTES])
            if problem is None and len(data) > max_bytes:
                length = len(data)
                while piece := handle.read(1 << 20):
                    length += len(piece)
                problem = too_long(length, max_bytes)
        except DAMAGE as error:
            return RawLine(None, b"", damaged(error), True)
    if problem is not None:
        return RawLine(None, data[:RAW_EXCERPT_BYTES], problem, True)
    data = data.removeprefix(UTF8_BOM).strip(b" \t\r\n")
    return RawLine(
        None,
        data,
        None if data else Reject("empty_file", "expected a JSON object, the file is empty"),
        True,
    )


def too_long(length: int, limit: int) -> Reject:
    """The reject of a record over the limit."""
    return Reject("line_too_long", f"{length} bytes, the limit is {limit}")


def parse_object(line: RawLine) -> dict[str, Any]:
    """The JSON object of a line. Raises Reject with the reason why there is none."""
    if line.problem is not None:
        raise line.problem
    try:
        value = strict_loads(line.data)
    except orjson.JSONDecodeError as error:
        raise _why_not_json(line, error) from error
    except AmbiguousJson as error:
        raise Reject(error.reason, str(error)) from error
    if type(value) is not dict:
        raise Reject("not_an_object", f"expected a JSON object, got {shown(value)}")
    return value


def checked_json(value: Any) -> bytes:
    """Canonical JSON of a part of a raw record. Raises Reject if it nests too deep to be written
    inside another record.
    """
    wrapped = value
    for _ in range(_DEPTH_MARGIN):
        wrapped = [wrapped]
    try:
        return canonical_json(wrapped)[_DEPTH_MARGIN:-_DEPTH_MARGIN]
    except orjson.JSONEncodeError as error:
        raise Reject("too_deep", f"nested deeper than can be written again ({error})") from error


def _skip_line(handle: BufferedReader) -> int:
    """Read on to the end of the line in pieces; the bytes passed over."""
    skipped = 0
    while piece := handle.readline(1 << 20):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _why_not_json(line: RawLine, error: orjson.JSONDecodeError) -> Reject:
    """Name the cause where it can be told, so that the reject table says what to repair."""
    data = line.data
    if b"\x00" in data:
        return Reject(
            "nul_byte",
            f"raw NUL byte at offset {data.index(0)}: binary data, UTF-16, or a block lost by the"
            " file system",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        return Reject(
            "not_utf8",
            f"byte {data[problem.start]:#04x} at offset {problem.start} is not UTF-8"
            f" ({problem.reason})",
        )
    message = str(error)
    if "depth limit" in message:
        return Reject("too_deep", f"nested deeper than the parser reads ({message})")
    if "surrogate" in message:
        return Reject("lone_surrogate", f"an escape stands for half a character ({message})")
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        if not line.complete:
            return Reject(
                "cut_off", f"the last line ends without a newline and is not whole JSON ({message})"
            )
        return Reject("not_json", message)
    return Reject(
        "not_strict_json", f"NaN, Infinity or another form that JSON does not have ({message})"
    )
