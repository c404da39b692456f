"""DeepSeek V3.2: DSML, an element per call and per argument. V4 names its section otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import Block, Call, CallFormat, Fault, View, in_shape, marker
from cbdata.call_formats.deepseek_sections import END_TOKENS
from cbdata.call_formats.json_calls import dump
from cbdata.call_formats.tagged_values import Tags, read_call
from cbdata.tools import ToolSchema

DSML = "｜DSML｜"
"""The one piece of an element that is a token of its own, so that it alone is the marker."""

SECTIONS = ("function_calls", "tool_calls")
_M = marker(DSML)
_NAME = r'name="([^\s<>"\ufdd0]++)"'
_OPEN = re.compile(rf"<{_M}(?:({'|'.join(SECTIONS)})>)?")
_INVOKE = re.compile(rf"\s*+<{_M}invoke {_NAME}>")
TAGS = Tags(
    argument=re.compile(rf'\s*+<{_M}parameter {_NAME} string="(true|false)">'),
    argument_end=f"</{in_shape(DSML)}parameter>",
    close=re.compile(rf"\s*+</{_M}invoke>"),
    markup="dsml",
    says_string=True,
)
_CLOSE = {name: re.compile(rf"\s*+</{_M}{name}>") for name in SECTIONS}


class DeepseekDsml(CallFormat):
    """Strings are bare text, everything else is JSON; an attribute says which."""

    name = "deepseek_dsml"
    markers = (DSML,)
    end_tokens = END_TOKENS

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
                call = read_call(view, invoke, TAGS, tools)
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
