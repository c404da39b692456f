"""The project's JSON Schemas (``workflow/schemas``), compiled once per process."""

from __future__ import annotations

import functools
from typing import Any

import orjson

from cbdata.paths import SCHEMAS


def load_schema(name: str) -> dict[str, Any]:
    """The schema called ``name`` (``trace_v1``, ``render_v1``, ``lossmask_v1``, ``reject_v1``,
    ``stats_v1``).
    """
    schema: dict[str, Any] = orjson.loads((SCHEMAS / f"{name}.schema.json").read_bytes())
    return schema


@functools.cache
def validator(name: str) -> Any:
    """A compiled validator with ``is_valid``, ``validate`` and ``iter_errors`` (jsonschema-rs: fast
    enough for every row).
    """
    import jsonschema_rs

    return jsonschema_rs.validator_for(load_schema(name))


def first_error(name: str, record: dict[str, Any]) -> str | None:
    """What is wrong with a record, as ``path: message``, or None."""
    for error in validator(name).iter_errors(record):
        path = "/".join(str(part) for part in error.instance_path)
        return f"{path or '(record)'}: {error.message}"
    return None


MOST_ERRORS = 20
"""So many violations of one record are told at most."""

_MESSAGE = 160


def all_errors(name: str, record: dict[str, Any]) -> str:
    """Everything that is wrong with a record, as ``path: message`` after ``path: message``, so that
    the author of a file need not mend one fault to hear of the next; empty if nothing is.
    """
    found = []
    for error in validator(name).iter_errors(record):
        path = "/".join(str(part) for part in error.instance_path)
        # The message quotes the record, which may hold line breaks and be of any length.
        message = ascii(error.message)[1:-1]
        message = message if len(message) <= _MESSAGE else message[:_MESSAGE] + "..."
        found.append(f"{path or '(record)'}: {message}")
    more = len(found) - MOST_ERRORS
    shown = found[:MOST_ERRORS] + ([f"and {more} more"] if more > 0 else [])
    return "; ".join(shown)
