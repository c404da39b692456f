"""Calls whose arguments stand one by one between tags, shared by the formats that use them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from cbdata.call_formats.base import Block, Call, Fault, View
from cbdata.call_formats.json_calls import is_definition
from cbdata.call_formats.literals import JSON, Dialect, Unreadable, read_literal
from cbdata.call_formats.typed_values import typed_value
from cbdata.tools import ToolSchema


class Tags(NamedTuple):
    """The tags of a notation; the patterns are for a view's shape.

    - ``argument``: what opens an argument; group 1 is its name
    - ``argument_end``: what stands behind its value, as it is in a view's shape
    - ``close``: what stands behind the last argument
    - ``line_breaks``: the notation puts a line break on either side of a value
    - ``dialects``: what a value that is no string is written in, tried in order
    - ``says_string``: group 2 of ``argument`` is "true" for a string; else the schema says it
    """

    argument: re.Pattern[str]
    argument_end: str
    close: re.Pattern[str]
    markup: str
    line_breaks: bool = False
    dialects: tuple[Dialect, ...] = (JSON,)
    says_string: bool = False


def read_call(
    view: View, opening: re.Match[str], tags: Tags, tools: ToolSchema | None
) -> Call | Fault:
    """The call that a match opens.

    Args:
        view: the completion.
        opening: what stands before the first argument; group 1 is the tool's name.
        tags: the notation.
        tools: the tools there are, which say the arguments' types; None: not known.
    """
    name = view.text[opening.start(1) : opening.end(1)]
    pos = opening.end()
    arguments: dict[str, Any] = {}
    while argument := tags.argument.match(view.shape, pos):
        key = view.text[argument.start(1) : argument.end(1)]
        begin = argument.end()
        end = view.shape.find(tags.argument_end, begin)
        if end < 0 or view.has_marker(begin, end):
            return Fault(argument.start(), "an argument without its end behind it")
        if key in arguments:
            return Fault(argument.start(), f"argument {key!r:.60} given twice")
        text = view.text[begin:end]
        if tags.line_breaks:
            text = text.removeprefix("\n").removesuffix("\n")
        value = (
            _value(text, begin, is_string=argument[2] == "true")
            if tags.says_string
            else typed_value(text, begin, tools, name, key, tags.dialects)
        )
        if isinstance(value, Fault):
            return value
        (arguments[key],) = value
        pos = end + len(tags.argument_end)
    close = tags.close.match(view.shape, pos)
    if close is None:
        return Fault(pos, "a call that is not closed behind its arguments")
    if is_definition(arguments):
        return Fault(opening.start(), "a tool's definition, not a call")
    start = view.skip_space(opening.start())
    return Call(
        name=name,
        arguments=arguments,
        raw=view.text[start : close.end()],
        raw_start=start,
        start=start,
        end=close.end(),
        name_start=opening.start(1),
        name_end=opening.end(1),
        form="xml",
        markup=tags.markup,
    )


def _value(text: str, at: int, *, is_string: bool) -> tuple[Any] | Fault:
    """The value of a text of which the model says whether it is a string, in a tuple of one."""
    if is_string:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return Fault(at, "an argument has a lone surrogate")
        return (text,)
    found = read_literal(text, 0, JSON)
    if isinstance(found, Unreadable):
        return Fault(at + found.at, f"JSON unreadable: {found.reason}")
    if text[found.end :].strip():
        return Fault(at + found.end, "text behind an argument's JSON")
    return (found.value,)


def read_blocks(
    view: View, start: int, opening: re.Pattern[str], tags: Tags, tools: ToolSchema | None
) -> list[Block] | Fault:
    """Blocks of one call each from ``start`` on.

    Args:
        view: the completion.
        start: where to begin.
        opening: the marker and, where a call follows it, all before the first argument; group 1 is
            the tool's name.
        tags: the notation; ``close`` closes the block, too.
        tools: as in ``read_call``.
    """
    found: list[Block] = []
    pos = start
    while match := opening.search(view.shape, pos):
        if match[1] is None:
            return Fault(match.start(), f"{tags.markup} without a tool's name behind it")
        call = read_call(view, match, tags, tools)
        if isinstance(call, Fault):
            return call
        found.append(Block(call.start, call.end, (call,)))
        pos = call.end
    return found
