"""Gemma 4: ``<|tool_call>call:name{key:<|"|>text<|"|>}<tool_call|>``, reasoning on a channel named
thought.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import Block, CallFormat, Fault, View
from cbdata.call_formats.gemma_calls import GemmaNotation
from cbdata.call_formats.reasoning import GEMMA4
from cbdata.tools import ToolSchema

OPEN, CLOSE, QUOTE = "<|tool_call>", "<tool_call|>", '<|"|>'
_NOTATION = GemmaNotation(OPEN, CLOSE, QUOTE)


class Gemma4(CallFormat):
    """A call per block; the turn ends where the results begin."""

    name = "gemma4"
    markers = (OPEN, CLOSE, QUOTE)
    reasoning = (GEMMA4,)
    end_tokens = ("<|tool_response>", "<turn|>", "<eos>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return _NOTATION.blocks(view, start, "tool_call")

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat. Raises ValueError for a number that is not finite."""
        return _NOTATION.write(calls)
