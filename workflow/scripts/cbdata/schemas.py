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
