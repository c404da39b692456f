"""Calls written as Python, shared by the formats that use them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from cbdata.call_formats.base import Call, Fault, View
from cbdata.call_formats.literals import PYTHON, Unreadable, read_literal

CALL_START = re.compile(r"([A-Za-z_][\w-]*+(?:\.[\w-]++)*+)\(")
_KEYWORD = re.compile(r"\s*+([A-Za-z_]\w*+)\s*+=(?!=)")
_ARGUMENT_END = re.compile(r"\s*+([,)])")
_CLOSE = re.compile(r"\s*+\)")


def read_call(view: View, pos: int, markup: str) -> Call | Fault:
    """Read a call ``name(keyword=literal, ...)``.

    Args:
        view: The completion.
        pos: Where the name stands.
        markup: What the call says of the markup around it.

    Returns:
        The call, or a Fault for positional or repeated arguments and for anything computed.
    """
    text = view.text
    opening = CALL_START.match(text, pos)
    if opening is None:
        return Fault(pos, "no name with an opening bracket")
    arguments: dict[str, Any] = {}
    at = opening.end()
    close = _CLOSE.match(text, at)
    while close is None:
        keyword = _KEYWORD.match(text, at)
        if keyword is None:
            return Fault(at, "an argument without its name")
        if keyword[1] in arguments:
            return Fault(at, f"argument {keyword[1]:.60} given twice")
        literal = read_literal(text, keyword.end(), PYTHON)
        if isinstance(literal, Unreadable):
            return Fault(literal.at, f"argument unreadable: {literal.reason}")
        arguments[keyword[1]] = literal.value
        after = _ARGUMENT_END.match(text, literal.end)
        if after is None:
            return Fault(literal.end, "a call that is not closed")
        at = after.end()
        close = after if after[1] == ")" else _CLOSE.match(text, at)
    end = close.end()
    if view.has_marker(pos, end):
        return Fault(pos, "a marker inside a call")
    return Call(
        name=opening[1],
        arguments=arguments,
        raw=text[pos:end],
        raw_start=pos,
        start=pos,
        end=end,
        name_start=opening.start(1),
        name_end=opening.end(1),
        form="python",
        markup=markup,
    )


def dump(value: Any) -> str:
    """A value as a Python literal."""
    return repr(value)


def renamed(call: Call, suffix: int) -> Call:
    """The same call, its name without the last ``suffix`` characters."""
    return replace(call, name=call.name[:-suffix], name_end=call.name_end - suffix)
