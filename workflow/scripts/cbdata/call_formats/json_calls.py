"""Calls written as JSON objects, shared by the formats that use them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cbdata.call_formats.base import MARK, Call, Fault, View
from cbdata.call_formats.literals import JSON, Unreadable, read_literal

_OPEN = re.compile(r"\s*+\{\s*+")
_COLON = re.compile(r"\s*+:\s*+")
_NEXT = re.compile(r"\s*+([,}])\s*+")
_CLOSE = re.compile(r"\s*+\}")
_LIST_NEXT = re.compile(r"\s*+([,\]])\s*+")
_SCHEMA_KEYS = {
    *("type", "properties", "required", "additionalProperties", "description", "title"),
    *("$schema", "$defs", "definitions", "strict"),
}


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a call object: a format's own, and no others.

    ``fixed``: keys that may be there with this one value. ``ignored``: keys that may be there with
    a string, such as a call's id. ``as_string``: arguments may be a string of JSON. ``wrapper``:
    the call object may stand under this key of another one, beside the keys of ``fixed`` and
    ``ignored``. ``other_arguments``: another spelling of ``arguments``.
    """

    name: str = "name"
    arguments: str = "arguments"
    fixed: tuple[tuple[str, str], ...] = ()
    ignored: frozenset[str] = frozenset()
    as_string: bool = False
    wrapper: str = ""
    other_arguments: str = ""


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
    """Read one call object.

    Args:
        view: The completion.
        pos: Where the object stands; white space before it is skipped.
        keys: The keys that hold the name and the arguments.
        markup: What the call says of the markup around it.
    """
    start = view.skip_space(pos)
    found = read_object(view.text, start)
    if isinstance(found, Fault):
        return found
    members, end = found
    if view.has_marker(start, end):
        return Fault(view.shape.find(MARK, start), "a marker inside a call")
    if keys.wrapper and keys.wrapper in members:
        return _wrapped(view, start, end, members, keys, markup)
    given = keys.other_arguments if keys.other_arguments in members else keys.arguments
    if fault := _wrong_keys(start, members, keys, (keys.name, given)):
        return fault
    name, arguments = members[keys.name], members[given]
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


def _wrong_keys(
    start: int, members: Mapping[str, Member], keys: Keys, needed: Sequence[str]
) -> Fault | None:
    """What is wrong with the keys of a call object, or None."""
    allowed = {*needed, *dict(keys.fixed), *keys.ignored}
    extra = [key for key in members if key not in allowed]
    if extra:
        return Fault(start, f"the object has the key {extra[0]!r:.60}, which is no part of a call")
    missing = [key for key in needed if key not in members]
    if missing:
        return Fault(start, f"the object has no {missing[0]}")
    for key, value in keys.fixed:
        if key in members and members[key].value != value:
            return Fault(members[key].start, f"{key} is not {value}")
    for key in sorted(keys.ignored & members.keys()):
        if not isinstance(members[key].value, str):
            return Fault(members[key].start, f"{key} is not a string")
    return None


def _wrapped(
    view: View, start: int, end: int, members: Mapping[str, Member], keys: Keys, markup: str
) -> Call | Fault:
    """The call object under the wrapper's key; the call is the whole of ``[start, end)``."""
    if fault := _wrong_keys(start, members, keys, (keys.wrapper,)):
        return fault
    inner = replace(keys, wrapper="", fixed=())
    call = read_call(view, members[keys.wrapper].start, inner, markup)
    if isinstance(call, Fault):
        return call
    return replace(call, raw=view.text[start:end], raw_start=start, start=start, end=end)


def read_named_call(
    view: View, opening: re.Match[str], closing: re.Pattern[str], closing_name: str, markup: str
) -> Call | Fault:
    """A call whose name stands in its opening, before an object of arguments and a closing marker.

    Args:
        view: The completion.
        opening: Found in the view's shape, up to the arguments. Group 1 is the name; white space at
            its beginning is no part of the call.
        closing: What stands behind the arguments.
        closing_name: What a fault calls that.
        markup: What ``Call.markup`` says.

    Returns:
        The call from its opening to its closing, or what is wrong with it.
    """
    found = read_arguments(view, opening.end())
    if isinstance(found, Fault):
        return found
    arguments, end = found
    close = closing.match(view.shape, end)
    if close is None:
        return Fault(end, f"no {closing_name} behind a call's arguments")
    start = view.skip_space(opening.start())
    return Call(
        name=view.text[opening.start(1) : opening.end(1)],
        arguments=arguments,
        raw=view.text[start : close.end()],
        raw_start=start,
        start=start,
        end=close.end(),
        name_start=opening.start(1),
        name_end=opening.end(1),
        form="json",
        markup=markup,
    )


def read_list(
    view: View, pos: int, keys: Keys, markup: str
) -> tuple[tuple[Call, ...], int] | Fault:
    """Read a list of at least one call object.

    Args:
        view: The completion.
        pos: Where the list's bracket stands.
        keys: The keys that hold a call's name and arguments.
        markup: What the calls say of the markup around them.

    Returns:
        The calls, and the index one past the list; or a Fault.
    """
    if not view.text.startswith("[", pos):
        return Fault(pos, "no list of calls")
    calls: list[Call] = []
    at = pos + 1
    while True:
        call = read_call(view, at, keys, markup)
        if isinstance(call, Fault):
            return call
        calls.append(call)
        following = _LIST_NEXT.match(view.text, call.end)
        if following is None:
            return Fault(call.end, "a list of calls that is not closed")
        at = following.end()
        if following[1] == "]":
            return tuple(calls), following.start(1) + 1


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
    """Whether arguments are the JSON Schema of arguments: a tool quoted or filled in.

    ``{"properties": {}}`` alone says nothing of any argument; real models pass it to tools without.
    """
    properties = arguments.get("properties")
    says = bool(properties) or "type" in arguments
    return isinstance(properties, dict) and says and arguments.keys() <= _SCHEMA_KEYS


def dump(value: Any) -> str:
    """JSON as chat templates print it."""
    return json.dumps(value, ensure_ascii=False)
