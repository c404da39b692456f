"""Calls written as JSON objects, shared by the formats that use them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cbdata.call_formats.base import Call, Fault, View
from cbdata.call_formats.literals import JSON, Unreadable, read_literal

_OPEN = re.compile(r"\s*+\{\s*+")
_COLON = re.compile(r"\s*+:\s*+")
_NEXT = re.compile(r"\s*+([,}])\s*+")
_CLOSE = re.compile(r"\s*+\}")
_SCHEMA_KEYS = {
    *("type", "properties", "required", "additionalProperties", "description", "title"),
    *("$schema", "$defs", "definitions", "strict"),
}


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a call object: a format's own, and no others.

    ``fixed``: keys that may be there with this one value. ``ignored``: keys that may be there with
    a string, such as a call's id. ``as_string``: arguments may be a string of JSON.
    """

    name: str = "name"
    arguments: str = "arguments"
    fixed: tuple[tuple[str, str], ...] = ()
    ignored: frozenset[str] = frozenset()
    as_string: bool = False


class Member(NamedTuple):
    """One key of an object, its value, and where the value stands, half-open."""

    value: Any
    start: int
    end: int


def read_object(text: str, pos: int) -> tuple[dict[str, Member], int] | Fault:
    """The members of a JSON object at ``pos`` and the index one past it. Repeated keys, numbers
    that cannot be kept and lone surrogates are faults.
    """
    opening = _OPEN.match(text, pos)
    if opening is None:
        return Fault(pos, "no JSON object")
    members: dict[str, Member] = {}
    at = opening.end()
    if close := _CLOSE.match(text, at):
        return members, close.end()
    while True:
        key = read_literal(text, at, JSON) if text.startswith('"', at) else None
        if key is None or isinstance(key, Unreadable):
            return Fault(at, "JSON unreadable: no key")
        if key.value in members:
            return Fault(at, f"JSON unreadable: repeated key {key.value!r:.60}")
        colon = _COLON.match(text, key.end)
        if colon is None:
            return Fault(key.end, "JSON unreadable: no colon behind a key")
        value = read_literal(text, colon.end(), JSON)
        if isinstance(value, Unreadable):
            return Fault(value.at, f"JSON unreadable: {value.reason}")
        members[key.value] = Member(value.value, colon.end(), value.end)
        following = _NEXT.match(text, value.end)
        if following is None:
            return Fault(value.end, "JSON unreadable: an object that does not go on")
        if following[1] == "}":
            return members, following.start(1) + 1
        at = following.end()


def read_call(view: View, pos: int, keys: Keys, markup: str) -> Call | Fault:
    """A call object at ``pos`` (white space before it is skipped)."""
    start = view.skip_space(pos)
    found = read_object(view.text, start)
    if isinstance(found, Fault):
        return found
    members, end = found
    if view.has_marker(start, end):
        return Fault(view.shape.find("\ufdd0", start), "a marker inside a call")
    allowed = {keys.name, keys.arguments, *dict(keys.fixed), *keys.ignored}
    extra = [key for key in members if key not in allowed]
    if extra:
        return Fault(start, f"the object has the key {extra[0]!r:.60}, which is no part of a call")
    missing = [key for key in (keys.name, keys.arguments) if key not in members]
    if missing:
        return Fault(start, f"the object has no {missing[0]}")
    for key, value in keys.fixed:
        if key in members and members[key].value != value:
            return Fault(members[key].start, f"{key} is not {value}")
    for key in keys.ignored & members.keys():
        if not isinstance(members[key].value, str):
            return Fault(members[key].start, f"{key} is not a string")
    name, arguments = members[keys.name], members[keys.arguments]
    if not isinstance(name.value, str) or not name.value:
        return Fault(name.start, "the name is not a string")
    if view.text[name.start + 1 : name.end - 1] != name.value:
        return Fault(name.start, "the name is written with escapes")
    value, written = arguments.value, None
    if isinstance(value, str) and keys.as_string:
        inner = read_literal(value, 0, JSON)
        if isinstance(inner, Unreadable) or value[inner.end :].strip():
            return Fault(arguments.start, "the arguments are a string that is not JSON")
        written, value = value, inner.value
    if not isinstance(value, dict):
        return Fault(arguments.start, "the arguments are not an object")
    if is_definition(value):
        return Fault(start, "a tool's definition, not a call")
    return Call(
        name=name.value,
        arguments=value,
        raw=view.text[start:end],
        raw_start=start,
        start=start,
        end=end,
        name_start=name.start + 1,
        name_end=name.end - 1,
        form="json",
        markup=markup,
        arguments_json=written,
    )


def read_arguments(view: View, pos: int) -> tuple[dict[str, Any], int] | Fault:
    """A JSON object of arguments at ``pos`` and the index one past it."""
    found = read_literal(view.text, pos, JSON)
    if isinstance(found, Unreadable):
        return Fault(found.at, f"JSON unreadable: {found.reason}")
    if not isinstance(found.value, dict):
        return Fault(pos, "the arguments are not an object")
    if view.has_marker(pos, found.end):
        return Fault(pos, "a marker inside a call's arguments")
    if is_definition(found.value):
        return Fault(pos, "a tool's definition, not a call")
    return found.value, found.end


def is_definition(arguments: Mapping[str, Any]) -> bool:
    """Whether arguments are the JSON Schema of arguments: a tool quoted or filled in. Empty
    ``properties`` alone define nothing; models do send them.
    """
    properties = arguments.get("properties")
    if not isinstance(properties, dict) or not arguments.keys() <= _SCHEMA_KEYS:
        return False
    return bool(properties) or "type" in arguments


def dump(value: Any) -> str:
    """JSON as chat templates print it."""
    return json.dumps(value, ensure_ascii=False)
