"""JSON files for people to read: indented, with a newline at the end, whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from cbdata.atomic_file import write_atomic


def indented(value: Any) -> bytes:
    """A value as indented JSON with a newline at the end; key order is the caller's."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as an indented JSON file, whole or not at all."""
    write_atomic(path, indented(value))
