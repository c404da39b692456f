"""JSON Lines as the project writes and reads it: one record a line, UTF-8, no NaN."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from cbdata.counted_file import open_counted
from cbdata.parts import WHOLE, Part

MEND = (
    "mend the line if the file is your own; if the workflow made it, remove the file and run its"
    " rule again"
)
"""What to do about a bad line: a reader cannot know whose file it reads."""


class JsonlError(ValueError):
    """A line of one of the project's own files is not what it must be: names file, line, what was
    expected and a hint.
    """

    def __init__(self, path: str | Path, line: int, expected: str, got: str, hint: str) -> None:
        """Make the message.

        Args:
            path: The file.
            line: Number of the line, from 1.
            expected: What should stand there.
            got: What does.
            hint: What to do about it.
        """
        super().__init__(f"{path}:{line}: expected {expected}, got {got}. Hint: {hint}")


def dumps(record: Any) -> bytes:
    """One record as a line with its newline; key order is the caller's, so equal input gives equal
    bytes.
    """
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def read_records(path: str | Path, part: Part = WHOLE) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line number from 1, record)`` of a file that the workflow wrote itself.

    Strict on purpose: these files are published whole, so a bad line means that somebody edited or
    cut the file. Raw input with errors in it is read elsewhere (``cbdata.sources``), where a bad
    line becomes a reject.

    Args:
        path: The file.
        part: Which part of it; line numbers are those of the whole file.

    Raises:
        JsonlError: A line is not a JSON object; the first one that is none ends the reading.
    """
    with open_counted(path) as handle:
        for number, line in part.lines(handle):
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise JsonlError(
                    path,
                    number,
                    "a JSON object",
                    f"{line[:80]!r} ({error})",
                    MEND,
                ) from error
            if not isinstance(record, dict):
                raise JsonlError(
                    path,
                    number,
                    "a JSON object",
                    type(record).__name__,
                    MEND,
                )
            yield number, record
