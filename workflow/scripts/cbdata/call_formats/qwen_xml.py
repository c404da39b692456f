"""Qwen3-Coder, Qwen3.5 and later, Nemotron 3: ``<function=..><parameter=..>`` in a
``<tool_call>``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import MARK, Block, Call, CallFormat, Fault, View, marker
from cbdata.call_formats.json_calls import dump
from cbdata.call_formats.typed_values import typed_value
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<tool_call>", "</tool_call>"
FUNCTION, FUNCTION_END = "<function=", "</function>"
PARAMETER, PARAMETER_END = "<parameter=", "</parameter>"
_NAME = r"([^<>={}\s\"']++)>"
_OPEN = re.compile(marker(OPEN) + r"(?:\s*+" + marker(FUNCTION) + _NAME + ")?")
_PARAMETER = re.compile(r"\s*+" + marker(PARAMETER) + _NAME)
_CLOSE = re.compile(r"\s*+" + marker(FUNCTION_END) + r"\s*+" + marker(CLOSE))
_END = MARK + PARAMETER_END[1:]


class QwenXml(CallFormat):
    """A call per block; values are bare text, typed by the tools' JSON Schemas."""

    name = "qwen_xml"
    markers = (OPEN, CLOSE, FUNCTION, FUNCTION_END, PARAMETER, PARAMETER_END)
    end_tokens = ("<|im_end|>", "<|endoftext|>")
    hints = ("<parameter=",)

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found: list[Block] = []
        pos = start
        while opening := _OPEN.search(view.shape, pos):
            if opening[1] is None:
                return Fault(opening.start(), f"{OPEN} without {FUNCTION}name> behind it")
            block = _block(view, opening, tools)
            if isinstance(block, Fault):
                return block
            found.append(block)
            pos = block.end
        return found

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return "\n".join(
            f"{OPEN}\n{FUNCTION}{name}>\n"
            + "".join(
                f"{PARAMETER}{key}>\n{value if isinstance(value, str) else dump(value)}\n"
                f"{PARAMETER_END}\n"
                for key, value in arguments.items()
            )
            + f"{FUNCTION_END}\n{CLOSE}"
            for name, arguments in calls
        )


def _block(view: View, opening: re.Match[str], tools: ToolSchema | None) -> Block | Fault:
    """The block that a match opens."""
    name, pos = opening[1], opening.end()
    arguments: dict[str, Any] = {}
    while parameter := _PARAMETER.match(view.shape, pos):
        key, begin = parameter[1], parameter.end()
        end = view.shape.find(_END, begin)
        if end < 0 or view.has_marker(begin, end):
            return Fault(parameter.start(), f"{PARAMETER} that is not closed")
        if key in arguments:
            return Fault(parameter.start(), f"argument {key!r:.60} given twice")
        value = typed_value(_without_edges(view.text[begin:end]), begin, tools, name, key)
        if isinstance(value, Fault):
            return value
        (arguments[key],) = value
        pos = end + len(PARAMETER_END)
    close = _CLOSE.match(view.shape, pos)
    if close is None:
        return Fault(pos, f"{FUNCTION} that is not closed behind its arguments")
    call = Call(
        name=name,
        arguments=arguments,
        raw=view.text[opening.start() : close.end()],
        raw_start=opening.start(),
        start=opening.start(),
        end=close.end(),
        name_start=opening.start(1),
        name_end=opening.end(1),
        form="xml",
        markup="tool_call",
    )
    return Block(opening.start(), close.end(), (call,))


def _without_edges(text: str) -> str:
    """A value without the line break that the notation puts on either side."""
    return text.removeprefix("\n").removesuffix("\n")
