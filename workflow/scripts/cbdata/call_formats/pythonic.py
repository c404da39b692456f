"""Llama 4, LFM2 and OLMo 3: Python calls, in markup or as the whole answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import Block, Call, CallFormat, Fault, View, marker, with_fence
from cbdata.call_formats.python_calls import CALL_START, dump, read_call
from cbdata.tools import ToolSchema

SECTIONS = (
    ("<|python_start|>", "<|python_end|>", "python_start"),
    ("<|tool_call_start|>", "<|tool_call_end|>", "tool_call_start"),
    ("<function_calls>", "</function_calls>", "function_calls"),
    ("<function-call>", "</function-call>", "function-call"),
)
_OPEN = re.compile("|".join(f"({marker(opening)})" for opening, _, _ in SECTIONS))
_BARE = re.compile(r"^[ \t]*+(?=(\[\s*+)?+[A-Za-z_][\w.-]*+\()", re.MULTILINE)
_LIST_NEXT = re.compile(r"\s*+([,\]])\s*+")
_LINE_NEXT = re.compile(r"[ \t]*+(?:[;\n,]\s*+)?")


class Pythonic(CallFormat):
    """``[name(argument=value), ...]``, or a call a line (OLMo 3)."""

    name = "pythonic"
    markers = tuple(mark for opening, closing, _ in SECTIONS for mark in (opening, closing))
    end_tokens = ("<|eot|>", "<|eom|>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>")
    always_marked = False

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found: list[Block] = []
        pos = start
        while opening := _OPEN.search(view.shape, pos):
            _, closing, markup = SECTIONS[(opening.lastindex or 1) - 1]
            calls = _calls(view, view.skip_space(opening.end()), markup)
            if isinstance(calls, Fault):
                return calls
            close = re.compile(r"\s*+" + marker(closing)).match(view.shape, calls[1])
            if close is None:
                return Fault(calls[1], f"{opening[0][1:]}: no {closing} behind its calls")
            pos = close.end()
            found.append(Block(opening.start(), pos, calls[0]))
        return found or _bare(view, start, tools)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        listed = ", ".join(
            f"{name}({', '.join(f'{key}={dump(value)}' for key, value in arguments.items())})"
            for name, arguments in calls
        )
        return f"[{listed}]"


def _calls(view: View, pos: int, markup: str) -> tuple[tuple[Call, ...], int] | Fault:
    """A list of calls, or calls line by line, at ``pos``, and the index one past them."""
    listed = view.text.startswith("[", pos)
    calls: list[Call] = []
    at = view.skip_space(pos + 1) if listed else pos
    while True:
        call = read_call(view, at, markup)
        if isinstance(call, Fault):
            return call
        calls.append(call)
        if not listed:
            following = _LINE_NEXT.match(view.text, call.end)
            at = following.end() if following else call.end
            if at == call.end or not CALL_START.match(view.text, at):
                return tuple(calls), call.end
            continue
        following = _LIST_NEXT.match(view.text, call.end)
        if following is None:
            return Fault(call.end, "a list of calls that is not closed")
        at = following.end()
        if following[1] == "]":
            return tuple(calls), following.start(1) + 1


def _bare(view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
    """Calls without markup. Code is not a call: what does not read as calls is a fault only if it
    begins with the name of a tool.
    """
    first = _BARE.search(view.text, start)
    if first is None:
        return []
    calls = _calls(view, first.end(), "bare")
    if not isinstance(calls, Fault):
        return with_fence(view, [Block(first.end(), calls[1], calls[0], marked=False)], start)
    opening = CALL_START.match(view.text, view.skip_space(first.end() + bool(first[1])))
    begun = opening is not None and tools is not None and opening[1] in tools.names
    return calls if begun else []
