"""Qwen3-Coder, Qwen3.5 and later, Nemotron 3: ``<function=..><parameter=..>`` in a
``<tool_call>``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import Block, CallFormat, Fault, View
from cbdata.call_formats.function_parameters import (
    FUNCTION,
    FUNCTION_END,
    MARKERS,
    PARAMETER,
    PARAMETER_END,
    block_opening,
    block_tags,
)
from cbdata.call_formats.json_calls import dump
from cbdata.call_formats.tagged_values import read_blocks
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_OPEN = block_opening(OPEN)
TAGS = block_tags(CLOSE, "tool_call", line_breaks=True)


class QwenXml(CallFormat):
    """A call per block; values are bare text, typed by the tools' JSON Schemas."""

    name = "qwen_xml"
    markers = (OPEN, CLOSE, *MARKERS)
    end_tokens = ("<|im_end|>", "<|endoftext|>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return read_blocks(view, start, _OPEN, TAGS, tools)

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
