"""Gemma 3: Python calls in a code fence named ``tool_code``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cbdata.call_formats.base import Block, Call, CallFormat, Fault, View, marker
from cbdata.call_formats.python_calls import dump, read_call
from cbdata.tools import ToolSchema

FENCE, FENCE_END = "```tool_code", "```"
MODULE = "default_api."
_OPEN = re.compile(marker(FENCE) + r"(?:[ \t]*+\n\s*+)?")
_PRINT = re.compile(r"print\(\s*+(?=[A-Za-z_][\w.-]*+\()")
_PRINT_END = re.compile(r"\s*+\)")
_NEXT_LINE = re.compile(r"[ \t]*+\n\s*+")
_CLOSE = re.compile(r"\s*+```(?![`\w])")
_KEYWORD = re.compile(r"[A-Za-z_]\w*")


class GemmaToolCode(CallFormat):
    """A call a line, perhaps inside ``print()`` or with the module ``default_api`` before it."""

    name = "gemma_tool_code"
    markers = (FENCE,)
    end_tokens = ("<end_of_turn>", "<eos>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found: list[Block] = []
        pos = start
        while opening := _OPEN.search(view.shape, pos):
            calls: list[Call] = []
            at = opening.end()
            while True:
                call = _line(view, at, tools)
                if isinstance(call, Fault):
                    return call
                calls.append(call[0])
                if close := _CLOSE.match(view.text, call[1]):
                    break
                following = _NEXT_LINE.match(view.text, call[1])
                if following is None:
                    return Fault(call[1], f"{FENCE}: neither another line nor {FENCE_END}")
                at = following.end()
            pos = close.end()
            found.append(Block(opening.start(), pos, tuple(calls)))
        return found

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat. Raises ValueError for an argument that is no Python keyword."""
        lines = []
        for name, arguments in calls:
            if odd := next((key for key in arguments if not _KEYWORD.fullmatch(key)), None):
                raise ValueError(f"argument {odd!r:.60} of {name} cannot be written in Python")
            pairs = ", ".join(f"{key}={dump(value)}" for key, value in arguments.items())
            lines.append(f"{name}({pairs})\n")
        return f"{FENCE}\n{''.join(lines)}{FENCE_END}"


def _line(view: View, pos: int, tools: ToolSchema | None) -> tuple[Call, int] | Fault:
    """The call of a line and the index one past it, ``print()`` included."""
    printed = _PRINT.match(view.text, pos)
    call = read_call(view, printed.end() if printed else pos, "tool_code")
    if isinstance(call, Fault):
        return call
    if call.name.startswith(MODULE) and not (tools and call.name in tools.names):
        begin = call.name_start + len(MODULE)
        call = replace(call, name=call.name.removeprefix(MODULE), name_start=begin)
    if not printed:
        return call, call.end
    close = _PRINT_END.match(view.text, call.end)
    if close is None:
        return Fault(call.end, "print() that is not closed behind its call")
    return replace(call, start=printed.start(), end=close.end()), close.end()
