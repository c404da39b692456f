"""Which call a tool result is of, by what the result says of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson


def answered(
    pending: list[tuple[str | None, dict[str, Any]]], source_id: str | None, said: Any
) -> int | None:
    """Which of the calls without a result one is of, by the id or else the call that it names; None
    where neither tells.
    """
    for number, (known, _) in enumerate(pending):
        if source_id and known == source_id:
            return number
    same = [number for number, (_, call) in enumerate(pending) if said and is_call(said, call)]
    if same:
        return same[0]
    # One that states no arguments, as far as the name alone tells.
    by_name = [
        number
        for number, (_, call) in enumerate(pending)
        if said and named(said) == (call["function"]["name"], None)
    ]
    return by_name[0] if len(by_name) == 1 else None


def is_call(said: Any, call: dict[str, Any]) -> bool:
    """Whether a result names a call and its arguments, in any form."""
    name, arguments = named(said)
    body = call["function"]
    given = (body["arguments"], body.get("arguments_json"))
    return name == body["name"] and arguments is not None and arguments in given


def named(said: Any) -> tuple[Any, Any]:
    """The name and the arguments that a result says of its call; None where it does not say."""
    if type(said) is not dict:
        return None, None
    function = said.get("function")
    if type(function) is dict:
        name, arguments = function.get("name"), function.get("arguments")
    else:
        name = function or said.get("name")
        arguments = said.get("args", said.get("arguments"))
    if type(arguments) is str:
        with suppress(ValueError):
            arguments = orjson.loads(arguments)
    return name, arguments
