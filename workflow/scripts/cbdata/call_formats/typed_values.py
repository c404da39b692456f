"""Arguments that a notation writes as bare text, read by the type that the tool's schema gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import Fault
from cbdata.call_formats.literals import JSON, Dialect, Unreadable, read_literal
from cbdata.tools import ToolSchema

_WORDS = {"True": True, "False": False, "None": None}


def parameter_types(tools: ToolSchema | None, tool: str, parameter: str) -> frozenset[str] | None:
    """Return the JSON types that a parameter may have, or None where the schema does not say.

    Args:
        tools: The tool schema, or None if it is not known.
        tool: Name of the tool.
        parameter: Name of its parameter.
    """
    properties = ((tools and tools.parameters(tool)) or {}).get("properties")
    schema = properties.get(parameter) if isinstance(properties, dict) else None
    if not isinstance(schema, dict):
        return None
    return _types(schema)


def _types(schema: dict[str, Any]) -> frozenset[str] | None:
    given = schema.get("type")
    if isinstance(given, str):
        return frozenset({given})
    if isinstance(given, list):
        return frozenset(each for each in given if isinstance(each, str))
    values = schema["enum"] if isinstance(schema.get("enum"), list) else None
    if values:
        return frozenset(_type_of(value) for value in values)
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            found = [each.get("type") for each in schema[key] if isinstance(each, dict)]
            named = frozenset(each for each in found if isinstance(each, str))
            if found and len(found) == sum(isinstance(each, str) for each in found):
                return named
    return None


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", dict: "object", list: "array"}
    return names.get(type(value), "null")


def typed_value(
    text: str,
    at: int,
    tools: ToolSchema | None,
    tool: str,
    parameter: str,
    dialects: Sequence[Dialect] = (JSON,),
) -> tuple[Any] | Fault:
    """The value that a text stands for, in a tuple of one.

    A string by the schema is the text. Another type is JSON (and Python's True, False, None). Where
    both are allowed, or the schema does not say, and the text reads as the other type, nobody can
    say which was meant: a Fault.

    Args:
        text: the value as the model wrote it.
        at: where it stands in the completion, for the message.
        tools: the tools there are, or None.
        tool: the tool's name.
        parameter: the argument's name.
        dialects: what a value that is no string may be written in; the first that reads it counts.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return Fault(at, f"argument {parameter!r:.60} has a lone surrogate")
    types = parameter_types(tools, tool, parameter)
    if types == frozenset({"string"}):
        return (text,)
    value: Any = _WORDS.get(text.strip(), text)
    for dialect in dialects:
        found = read_literal(text, 0, dialect)
        if not isinstance(found, Unreadable) and not text[found.end :].strip():
            value = found.value
            break
    kind = _type_of(value)
    if types is None:
        if value is text:
            return (text,)
        return Fault(at, f"argument {parameter!r:.60}, unknown to the schema, may be a {kind}")
    fits = kind in types or (kind == "integer" and "number" in types)
    if value is text or kind == "string":
        if "string" in types:
            return (text,)
        if kind != "string" or value is text:
            return Fault(at, f"argument {parameter!r:.60} is not {' or '.join(sorted(types))}")
    if "string" in types:
        if fits:
            return Fault(at, f"argument {parameter!r:.60} may be a string or {kind}")
        return (text,)
    return (value,)
