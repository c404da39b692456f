"""The record types say the same as the JSON Schemas: fields, which of them must be there, types."""

from __future__ import annotations

import types
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import pytest

from cbdata import records
from cbdata.schemas import load_schema

WHOLE = {
    "trace_v1": records.Trace,
    "render_v1": records.Render,
    "lossmask_v1": records.LossMask,
    "reject_v1": records.RejectRow,
    "stats_v1": records.Stats,
}
ROWS = {
    "duplicate": records.FillDuplicate,
    "reject": records.FillReject,
    "trace": records.FillTrace,
    "run": records.FillRun,
}
NAMES = {
    str: {"string"},
    int: {"integer"},
    float: {"number"},
    bool: {"boolean"},
    type(None): {"null"},
}


def differences(kind: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    """Where a type and a schema disagree, as ``path: what the one and what the other says``."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if get_origin(kind) is NotRequired:
        kind = get_args(kind)[0]
    if kind is Any:
        return [] if "type" not in schema else [f"{at}: any value, the schema says {schema}"]
    if get_origin(kind) is Literal:
        allowed = schema.get("enum", [schema.get("const")])
        same = list(get_args(kind)) == allowed
        return [] if same else [f"{at}: {get_args(kind)}, the schema says {allowed}"]
    if get_origin(kind) in (Union, types.UnionType):
        return _union(get_args(kind), schema, root, at)
    if get_origin(kind) is list:
        if schema.get("type") != "array":
            return [f"{at}: a list, the schema says {schema}"]
        return differences(get_args(kind)[0], schema["items"], root, f"{at}[]")
    if get_origin(kind) is dict:
        is_open = schema.get("type") == "object" and "properties" not in schema
        return [] if is_open else [f"{at}: an open mapping, the schema says {schema}"]
    if is_typeddict(kind):
        return _mapping(kind, schema, root, at)
    same = schema.get("type") in NAMES[kind]
    return [] if same else [f"{at}: {kind.__name__}, the schema says {schema.get('type')}"]


def _union(
    members: tuple[Any, ...], schema: dict[str, Any], root: dict[str, Any], at: str
) -> list[str]:
    if "oneOf" in schema:
        choices = [choice for choice in schema["oneOf"] if choice != {"type": "null"}]
        [inner] = [member for member in members if member is not type(None)]
        nullable = len(choices) < len(schema["oneOf"])
        if nullable != (type(None) in members) or len(choices) != 1:
            return [f"{at}: {members}, the schema says {schema}"]
        return differences(inner, choices[0], root, at)
    wanted = set().union(*(NAMES[member] for member in members))
    same = wanted == set(schema.get("type", ()))
    return [] if same else [f"{at}: {sorted(wanted)}, the schema says {schema.get('type')}"]


def _mapping(kind: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    hints = get_type_hints(kind, include_extras=True)
    if set(hints) != set(schema["properties"]):
        return [f"{at}: fields {set(hints) ^ set(schema['properties'])} stand on one side only"]
    needed = {name for name, hint in hints.items() if get_origin(hint) is not NotRequired}
    found = []
    if needed != set(schema.get("required", [])):
        found.append(f"{at}: required {needed}, the schema says {schema.get('required')}")
    for name, hint in hints.items():
        found += differences(hint, schema["properties"][name], root, f"{at}/{name}")
    return found


@pytest.mark.parametrize("name", WHOLE)
def test_a_record_type_equals_its_schema(name: str) -> None:
    schema = load_schema(name)
    assert differences(WHOLE[name], schema, schema, name) == []


@pytest.mark.parametrize("row", ROWS)
def test_a_fill_row_equals_its_schema(row: str) -> None:
    schema = load_schema("fill_row_v1")
    if row == "trace":  # the row's schema leaves the trace itself to trace_v1
        trace = load_schema("trace_v1")
        schema["$defs"]["trace"]["properties"]["trace"] = trace
        schema["$defs"] |= trace["$defs"]
    assert differences(ROWS[row], schema["$defs"][row], schema, row) == []


def test_a_difference_is_seen() -> None:
    schema = load_schema("trace_v1")
    del schema["properties"]["split"]
    schema["$defs"]["message"]["properties"]["role"]["enum"].pop()
    schema["properties"]["labels"]["required"].remove("exposed")
    schema["properties"]["source"]["properties"]["subset"]["type"] = "string"
    assert len(differences(records.Trace, schema, schema, "trace_v1")) == 1
    schema = load_schema("trace_v1")
    schema["$defs"]["message"]["properties"]["role"]["enum"].pop()
    schema["properties"]["labels"]["required"].remove("exposed")
    schema["properties"]["source"]["properties"]["subset"]["type"] = "string"
    assert len(differences(records.Trace, schema, schema, "trace_v1")) == 3
