"""The columns of the JSON Lines files as the ``datasets`` library names them.

``load_dataset("json", ...)`` guesses the columns from the first file that it reads. A field that is
null throughout that file, or an object that has other keys in the next one (``pair_id``, the
arguments of calls), then stops it at the second. With the columns of the schema it guesses nothing.
"""

from __future__ import annotations

from typing import Any

from cbdata.schemas import load_schema

SCHEMAS = {
    "trace_v1": lambda: load_schema("trace_v1"),
    "render_v1": lambda: load_schema("render_v1"),
    "lossmask_v1": lambda: load_schema("lossmask_v1"),
    "reject_v1": lambda: load_schema("reject_v1"),
}
KINDS = tuple(SCHEMAS)
VALUES = {
    frozenset({"string"}): "string",
    frozenset({"integer"}): "int64",
    frozenset({"number"}): "float64",
    frozenset({"integer", "number"}): "float64",
    frozenset({"boolean"}): "bool",
}
_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def features(kind: str) -> Any:
    """The columns of a kind of records, for ``load_dataset("json", ..., features=...)``.

    A field that a record does not have is None in the row. What the schema leaves open, such as the
    arguments of a call, is of type ``Json``. The loader writes such rows anew before it reads
    them: ten decimals are left of a number, and a text in an open field that is JSON itself, like
    "12", comes back as what it says.

    Args:
        kind: One of ``KINDS``.

    Returns:
        A ``datasets.Features``. It needs datasets 4.7 or newer, the first with ``Json``.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"expected a kind of records ({', '.join(KINDS)}), got {kind!r}")
    from datasets import Features

    schema = SCHEMAS[kind]()
    return Features(_feature(schema, schema.get("$defs", {})))


def _feature(spec: dict[str, Any], defs: dict[str, Any]) -> Any:
    from datasets import Json, List, Value

    spec = _without_null(spec, defs)
    if "properties" in spec and spec.get("additionalProperties") is False:
        return {name: _feature(each, defs) for name, each in spec["properties"].items()}
    if spec.get("type") == "array" and "items" in spec:
        return List(_feature(spec["items"], defs))
    value = VALUES.get(_types(spec))
    return Value(value) if value else Json()


def _without_null(spec: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """The schema behind references, and the one besides null where a field may be null."""
    while True:
        if "$ref" in spec:
            spec = defs[spec["$ref"].removeprefix("#/$defs/")]
        elif "oneOf" in spec:
            others = [each for each in spec["oneOf"] if each.get("type") != "null"]
            if len(others) != 1:
                return {}
            spec = others[0]
        else:
            return spec


def _types(spec: dict[str, Any]) -> frozenset[str]:
    constants = spec.get("enum", [spec["const"]] if "const" in spec else [])
    if constants:
        return frozenset(_NAMES[type(each)] for each in constants if each is not None)
    given = spec.get("type", [])
    return frozenset([given] if isinstance(given, str) else given) - {"null"}
