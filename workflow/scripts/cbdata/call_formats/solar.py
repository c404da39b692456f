"""Solar Open: messages in a turn; calls are a section of ids, names and JSON objects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import (
    MARK,
    NO_TOKENS,
    Block,
    Call,
    CallFormat,
    Fault,
    Reading,
    Thought,
    Tokens,
    View,
    assemble,
    marker,
)
from cbdata.call_formats.grammars import named_grammar
from cbdata.call_formats.json_calls import dump, read_named_call
from cbdata.call_formats.reasoning import SOLAR
from cbdata.tools import ToolSchema

BEGIN, CONTENT, CALLS = "<|begin|>", "<|content|>", "<|tool_calls|>"
THINK, END = SOLAR.opening, SOLAR.closing
CALL, NAME = "<|tool_call:begin|>", "<|tool_call:name|>"
ARGUMENTS, CALL_END = "<|tool_call:args|>", "<|tool_call:end|>"
_HEADER = re.compile(
    rf"\s*+(?:{marker(BEGIN)}assistant)?+"
    rf"(?:(?P<think>{marker(THINK)})|(?P<content>{marker(CONTENT)})|{marker(CALLS)})"
)
_END = re.compile(marker(END))
_CALL = re.compile(
    rf"\s*+{marker(CALL)}[^\s{MARK}]*+{marker(NAME)}\s*+([\w.-]++)\s*+{marker(ARGUMENTS)}"
)
_CALL_END = re.compile(r"\s*+" + marker(CALL_END))


class Solar(CallFormat):
    """Each message: reasoning or text up to ``<|end|>``, or calls; ``<|calls|>`` ends the turn."""

    name = "solar"
    markers = (BEGIN, CONTENT, CALLS, CALL, NAME, ARGUMENTS, CALL_END)
    reasoning = (SOLAR,)
    end_tokens = ("<|calls|>", "<|flush|>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat; ``read`` does more."""
        return []

    def read(
        self, view: View, tools: ToolSchema | None = None, *, thinking_open: bool = False
    ) -> Reading:
        """Take a completion apart, as ``CallFormat.read`` does.

        Args:
            view: The completion up to its end of turn.
            tools: Not needed here.
            thinking_open: The prompt ended with ``<|think|>``.
        """
        blocks: list[Block] = []
        thinking: list[Thought] = []
        pos = 0
        header = None if thinking_open else _HEADER.match(view.shape)
        while header is not None or thinking_open:
            start, inside = (header.start(), header.end()) if header else (0, 0)
            if header is not None and not header["think"] and not header["content"]:
                found = _section(view, start, inside)
                if isinstance(found, Fault):
                    return assemble(view, thinking, found, blocks)
                blocks.append(found)
                pos = found.end
            else:
                end = _END.search(view.shape, inside)
                reasons = header is None or header["think"] is not None
                if end is None and reasons:
                    fault = Fault(start, "reasoning that is never closed")
                    calls = tuple(call for block in blocks for call in block.calls)
                    return Reading(calls, (), tuple(thinking), fault=fault, unclosed_thinking=True)
                last = end.start() if end else len(view.text)
                pos = end.end() if end else last
                if view.has_marker(inside, last):
                    return assemble(view, thinking, Fault(last, "a marker in a message"), blocks)
                if reasons:
                    thinking.append(Thought(start, pos, inside, last))
                else:
                    blocks += [Block(start, inside), Block(last, pos)]
            thinking_open = False
            header = _HEADER.match(view.shape, pos)
        return assemble(view, thinking, blocks)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat. The ids are counted from 0."""
        written = "".join(
            f"{CALL}{at:010}{NAME}{name}{ARGUMENTS}{dump(arguments)}{CALL_END}"
            for at, (name, arguments) in enumerate(calls)
        )
        return f"{CALLS}{written}"

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return named_grammar(
            tools,
            lambda name: f"{CALLS}{CALL}{0:010}{NAME}{name}{ARGUMENTS}",
            CALL_END,
            tokens=tokens,
        )


def _section(view: View, start: int, pos: int) -> Block | Fault:
    """The calls behind a header ``[start, pos)``; at least one."""
    calls: list[Call] = []
    while opening := _CALL.match(view.shape, pos):
        call = read_named_call(view, opening, _CALL_END, CALL_END, "tool_calls")
        if isinstance(call, Fault):
            return call
        calls.append(call)
        pos = call.end
    return Block(start, pos, tuple(calls)) if calls else Fault(pos, f"{CALLS} without a call")
