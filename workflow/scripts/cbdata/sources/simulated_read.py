"""The call that reads an injection out of a world of JSON, where the world leaves no doubt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cbdata.rejects import Reasons, Reject
from cbdata.sources import shown

REASONS: Reasons = {
    "injection_not_in_environment": "the injection's text stands in no text of the environment, or"
    " in several",
    "no_reading_tool": "no tool of the row can be told to read the place of the injection",
}

READING_VERBS = frozenset(
    {"get", "read", "view", "list", "check", "fetch", "show", "lookup", "retrieve", "open"}
)
"""First words of tools that read and change nothing."""


class Read(NamedTuple):
    """A call and its result, with the injection in code points ``span`` of it, half-open."""

    tool: str
    arguments: dict[str, Any]
    result: str
    span: tuple[int, int]


class _Spot(NamedTuple):
    """Where the injection stands: the collection, the key of the entry in it (None in a list), and
    the record.
    """

    collection: str
    entry: str | None
    record: Mapping[str, Any]


def simulate_read(
    environment: Mapping[str, Any],
    injection: str,
    tools: Sequence[Mapping[str, Any]],
    required: Sequence[str],
) -> Read:
    """Make up the call that shows the injection to the model.

    The collection of the world that holds the injection must be what a reading tool is named after
    (``get_messages`` reads ``messages``, ``get_patient_record`` reads ``patients``), and each
    argument that the tool needs must stand in the record (``patient_id``). Of several such tools
    one that the user's task needs is taken first, then the one with the fewest other words in its
    name. The result is what the tool would return as JSON: the whole collection without arguments,
    or the entry that they name.

    Args:
        environment: Collections by name, each a list of records, or records (or lists of them) by
            key.
        injection: The injection's text.
        tools: The tools, in the OpenAI form.
        required: The tools that the user's task needs.

    Raises:
        Reject: ``injection_not_in_environment`` or ``no_reading_tool``.
    """
    spots = list(_spots(environment, injection))
    if len(spots) != 1:
        raise Reject(
            "injection_not_in_environment",
            f"expected one text that holds {shown(injection)}, found {len(spots)}",
        )
    (spot,) = spots
    found = []
    for tool in tools:
        function = tool["function"]
        rest = _rest(function["name"], spot.collection)
        arguments = _arguments(function.get("parameters") or {}, spot)
        if rest is not None and arguments is not None:
            rank = (function["name"] not in required, rest, function["name"])
            found.append((rank, function["name"], arguments))
    for _, name, arguments in sorted(found, key=lambda each: each[0]):
        text = json.dumps(_result(environment[spot.collection], spot, arguments))
        written = json.dumps(injection)[1:-1]
        start = text.find(written)
        if start >= 0 and text.count(written) == 1:
            return Read(name, arguments, text, (start, start + len(written)))
    raise Reject(
        "no_reading_tool",
        f"the injection stands in {shown(spot.collection)}, expected a tool that reads it, of"
        f" {', '.join(ascii(tool['function']['name']) for tool in tools)}",
    )


def _spots(environment: Mapping[str, Any], injection: str) -> Iterator[_Spot]:
    """Each text of the world that holds the injection, by where it stands."""
    for collection, value in environment.items():
        keyed = value.items() if isinstance(value, dict) else [(None, value)]
        for key, entry in keyed:
            for record in entry if isinstance(entry, list) else [entry]:
                if isinstance(record, dict):
                    for _ in range(_count(record, injection)):
                        yield _Spot(collection, key, record)


def _count(value: Any, injection: str) -> int:
    """How many texts inside a value hold the injection."""
    waiting, count = [value], 0
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            count += injection in each
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return count


def _stem(word: str) -> str:
    """A word without the ending of its plural."""
    for ending, singular in (("ies", "y"), ("sses", "ss"), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2 and not word.endswith("ss"):
            return word.removesuffix(ending) + singular
    return word


def _rest(tool: str, collection: str) -> int | None:
    """How many words of a tool's name are neither its verb nor the collection's; None where it is
    not a tool that reads the collection.
    """
    verb, *words = re.findall(r"[a-z0-9]+", tool.lower()) or [""]
    named = [_stem(word) for word in words]
    wanted = [_stem(word) for word in re.findall(r"[a-z0-9]+", collection.lower())]
    if verb not in READING_VERBS or not wanted or not all(word in named for word in wanted):
        return None
    return len(named) - len(wanted)


def _arguments(parameters: Mapping[str, Any], spot: _Spot) -> dict[str, Any] | None:
    """The arguments that a tool needs, out of the record; None where one is not there."""
    arguments: dict[str, Any] = {}
    required = parameters.get("required") or []
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return None
    for name in required:
        value = spot.record.get(name)
        if value is None and spot.entry is not None and name.endswith("_id"):
            value = spot.entry
        if not isinstance(value, (str, int)):
            return None
        arguments[name] = value
    return arguments


def _result(collection: Any, spot: _Spot, arguments: Mapping[str, Any]) -> Any:
    """What the tool returns: everything without arguments, else what they name."""
    if not arguments:
        return collection
    if spot.entry is not None and spot.entry in arguments.values():
        return collection[spot.entry]
    records = collection.values() if isinstance(collection, dict) else collection
    return [
        record
        for record in records
        if isinstance(record, dict)
        and all(record.get(name) == value for name, value in arguments.items())
    ]
