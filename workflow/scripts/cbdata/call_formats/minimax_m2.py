"""MiniMax M2: ``<invoke>`` with ``<parameter>`` per argument, in one ``<minimax:tool_call>``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import Block, Call, CallFormat, Fault, View, marker
from cbdata.call_formats.json_calls import dump
from cbdata.call_formats.tagged_values import Tags, read_call
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<minimax:tool_call>", "</minimax:tool_call>"
INVOKE, INVOKE_END = "<invoke name=", "</invoke>"
PARAMETER, PARAMETER_END = "<parameter name=", "</parameter>"
_NAME = r"\"([^<>{}\s\"']++)\">"
_OPEN = re.compile(marker(OPEN))
_INVOKE = re.compile(r"\s*+" + marker(INVOKE) + _NAME)
_CLOSE = re.compile(r"\s*+" + marker(CLOSE))
TAGS = Tags(
    argument=re.compile(r"\s*+" + marker(PARAMETER) + _NAME),
    argument_end=PARAMETER_END,
    close=re.compile(r"\s*+" + marker(INVOKE_END)),
    markup="minimax:tool_call",
)


class MinimaxM2(CallFormat):
    """Calls in one block; a value is text where the tool's schema says string, else JSON."""

    name = "minimax_m2"
    markers = (OPEN, CLOSE, INVOKE, INVOKE_END, PARAMETER, PARAMETER_END)
    end_tokens = ("[e~[",)
    hints = (OPEN, "]~b]")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found: list[Block] = []
        pos = start
        while opening := _OPEN.search(view.shape, pos):
            calls: list[Call] = []
            pos = opening.end()
            while invoke := _INVOKE.match(view.shape, pos):
                call = read_call(view, invoke, TAGS, tools)
                if isinstance(call, Fault):
                    return call
                calls.append(call)
                pos = call.end
            close = _CLOSE.match(view.shape, pos)
            if close is None or not calls:
                return Fault(pos, f"{OPEN} with something else in it than calls, or never closed")
            pos = close.end()
            found.append(Block(opening.start(), pos, tuple(calls)))
        return found

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        invoked = "".join(
            f'{INVOKE}"{name}">\n'
            + "".join(
                f'{PARAMETER}"{key}">{value if isinstance(value, str) else dump(value)}'
                f"{PARAMETER_END}\n"
                for key, value in arguments.items()
            )
            + f"{INVOKE_END}\n"
            for name, arguments in calls
        )
        return f"{OPEN}\n{invoked}{CLOSE}"
