"""DeepSeek V3.2: DSML, an element per call and per argument. V4 names its section otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import MARK, Block, Call, CallFormat, Fault, View, marker
from cbdata.call_formats.deepseek_sections import END_TOKENS
from cbdata.call_formats.json_calls import dump, is_definition
from cbdata.call_formats.literals import JSON, Unreadable, read_literal
from cbdata.tools import ToolSchema

DSML = "｜DSML｜"
"""The one piece of an element that is a token of its own, so that it alone is the marker."""

SECTIONS = ("function_calls", "tool_calls")
_M = marker(DSML)
_NAME = r'name="([^\s<>"\ufdd0]++)"'
_OPEN = re.compile(rf"<{_M}(?:({'|'.join(SECTIONS)})>)?")
_INVOKE = re.compile(rf"\s*+<{_M}invoke {_NAME}>")
_PARAMETER = re.compile(rf'\s*+<{_M}parameter {_NAME} string="(true|false)">')
_PARAMETER_END = f"</{MARK}{DSML[1:]}parameter>"
_INVOKE_END = re.compile(rf"\s*+</{_M}invoke>")
_CLOSE = {name: re.compile(rf"\s*+</{_M}{name}>") for name in SECTIONS}


class DeepseekDsml(CallFormat):
    """Strings are bare text, everything else is JSON; an attribute says which."""

    name = "deepseek_dsml"
    markers = (DSML,)
    end_tokens = END_TOKENS
    hints = (DSML,)

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found: list[Block] = []
        pos = start
        while opening := _OPEN.search(view.shape, pos):
            section = opening[1]
            if section is None:
                return Fault(opening.start(), f"<{DSML} that opens no section of calls")
            calls: list[Call] = []
            pos = opening.end()
            while invoke := _INVOKE.match(view.shape, pos):
                call = _call(view, invoke)
                if isinstance(call, Fault):
                    return call
                calls.append(call)
                pos = call.end
            close = _CLOSE[section].match(view.shape, pos)
            if close is None or not calls:
                return Fault(pos, f"<{DSML}{section}> without calls and its end behind it")
            pos = close.end()
            found.append(Block(opening.start(), pos, tuple(calls)))
        return found

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat. Raises ValueError for an argument whose name is no attribute's value."""
        written = "\n".join(_written(name, arguments) for name, arguments in calls)
        section = SECTIONS[0]
        return f"<{DSML}{section}>\n{written}\n</{DSML}{section}>"


def _call(view: View, invoke: re.Match[str]) -> Call | Fault:
    """The call that a match opens."""
    arguments: dict[str, Any] = {}
    pos = invoke.end()
    while parameter := _PARAMETER.match(view.shape, pos):
        begin = parameter.end()
        # The end of an argument is the next marker's, or something stands in it that may not.
        end = view.shape.find(MARK, begin) - len("</")
        if end < begin or not view.shape.startswith(_PARAMETER_END, end):
            return Fault(parameter.start(), "an argument that is not closed, or holds a marker")
        if parameter[1] in arguments:
            return Fault(parameter.start(), f"argument {parameter[1]!r:.60} given twice")
        value = _value(view.text[begin:end], begin, is_string=parameter[2] == "true")
        if isinstance(value, Fault):
            return value
        (arguments[parameter[1]],) = value
        pos = end + len(_PARAMETER_END)
    close = _INVOKE_END.match(view.shape, pos)
    if close is None:
        return Fault(pos, "a call that is not closed behind its arguments")
    if is_definition(arguments):
        return Fault(invoke.start(), "a tool's definition, not a call")
    start = view.skip_space(invoke.start())
    return Call(
        name=invoke[1],
        arguments=arguments,
        raw=view.text[start : close.end()],
        raw_start=start,
        start=start,
        end=close.end(),
        name_start=invoke.start(1),
        name_end=invoke.end(1),
        form="xml",
        markup="dsml",
    )


def _value(text: str, at: int, *, is_string: bool) -> tuple[Any] | Fault:
    """An argument's value in a tuple of one."""
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


def _written(name: str, arguments: dict[str, Any]) -> str:
    lines = [f'<{DSML}invoke name="{name}">']
    for key, value in arguments.items():
        if re.search(r'[\s<>"]', key) or not key:
            raise ValueError(f"argument {key!r:.60} of {name} cannot be written in DSML")
        is_string = isinstance(value, str)
        text = value if is_string else dump(value)
        lines.append(
            f'<{DSML}parameter name="{key}" string="{str(is_string).lower()}">{text}'
            f"</{DSML}parameter>"
        )
    return "\n".join([*lines, f"</{DSML}invoke>"])
