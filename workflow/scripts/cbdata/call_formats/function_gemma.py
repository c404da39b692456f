"""FunctionGemma: ``<start_function_call>call:name{...}<end_function_call>``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import Block, CallFormat, Fault, View
from cbdata.call_formats.gemma_calls import GemmaNotation
from cbdata.tools import ToolSchema

OPEN, CLOSE, QUOTE = "<start_function_call>", "<end_function_call>", "<escape>"
_NOTATION = GemmaNotation(OPEN, CLOSE, QUOTE)


class FunctionGemma(CallFormat):
    """A call per block, strings between two ``<escape>``."""

    name = "function_gemma"
    markers = (OPEN, CLOSE, QUOTE)
    end_tokens = ("<start_function_response>", "<end_of_turn>", "<eos>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return _NOTATION.blocks(view, start, "function_call")

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat. Raises ValueError for a number that is not finite."""
        return _NOTATION.write(calls)
