"""Raw input in any state, read as a stream: each line or file comes out as bytes or as the reason
why it cannot be read.

Memory is bounded by ``max_bytes`` per record, whatever the input holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from cbdata.ids import canonical_json
from cbdata.rejects import Reject
from cbdata.sources import SourceError, shown
from cbdata.sources.strict_json import AmbiguousJson, strict_loads
from cbdata.stage import RAW_EXCERPT_BYTES

MAX_RECORD_BYTES = 16 << 20
"""Longest record that is read; the longest real one known, an AgentDojo transcript, is under 1 MB.
"""

_DEPTH_MARGIN = 8
"""Levels that later stages may put around what ETL_A writes. orjson reads 1,024 levels but writes
254.
"""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
GZIP_MAGIC = b"\x1f\x8b"
UTF8_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


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

    Raises SourceError for a missing file, a directory and a git-lfs pointer.
    """
    with _open(path) as handle:
        whole = _whole_file_problem(handle, path)
        if whole is not None:
            yield whole
            return
        number = 0
        while line := handle.readline(max_bytes + 1):
            number += 1
            if number == 1 and line.startswith(UTF8_BOM):
                line = line[len(UTF8_BOM) :]
            if len(line) > max_bytes and not line.endswith(b"\n"):
                length = len(line) + _skip_line(handle)
                yield RawLine(number, line[:RAW_EXCERPT_BYTES], too_long(length, max_bytes), True)
                continue
            complete = line.endswith(b"\n")
            yield RawLine(number, line.strip(b" \t\r\n"), None, complete)


def read_whole(path: Path, max_bytes: int = MAX_RECORD_BYTES) -> RawLine:
    """A file that holds one JSON document, as one record. Raises SourceError as ``read_lines``
    does.
    """
    with _open(path) as handle:
        whole = _whole_file_problem(handle, path)
        if whole is not None:
            return whole
        data = handle.read(max_bytes + 1)
        if len(data) > max_bytes:
            return RawLine(
                None, data[:RAW_EXCERPT_BYTES], too_long(path.stat().st_size, max_bytes), True
            )
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


def _open(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb", buffering=1 << 20)
    except FileNotFoundError as error:
        raise SourceError(
            f"{path} does not exist. Hint: check fujitsu_b4_path and agentdojo_path in the config"
        ) from error
    except (IsADirectoryError, PermissionError) as error:
        raise SourceError(
            f"{path} cannot be read: expected a readable file ({error.strerror}). Hint: check the"
            " path in the config"
        ) from error


def _skip_line(handle: IO[bytes]) -> int:
    """Read on to the end of the line in pieces; the bytes passed over."""
    skipped = 0
    while piece := handle.readline(1 << 20):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _whole_file_problem(handle: IO[bytes], path: Path) -> RawLine | None:
    """What makes every line of the file unreadable, told by its first bytes."""
    head = handle.read(RAW_EXCERPT_BYTES)
    if head.startswith(LFS_POINTER):
        raise SourceError(
            f"{path} is a git-lfs pointer, not the data it stands for. Hint: run `git lfs install"
            " && git lfs pull` in the repository that it came from, or download the file"
        )
    handle.seek(0)
    if head.startswith(GZIP_MAGIC):
        return RawLine(
            None,
            head,
            Reject(
                "gzip_file",
                "the file is gzip-compressed, expected plain text; unpack it with `gzip -d`",
            ),
            True,
        )
    if head.startswith(UTF16_BOMS):
        return RawLine(
            None,
            head,
            Reject(
                "utf16_file",
                "the file is UTF-16, expected UTF-8; convert it with `iconv -f UTF-16 -t UTF-8`",
            ),
            True,
        )
    return None


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
