"""Seed-OSS: ``<function=..><parameter=..>`` in a ``<seed:tool_call>``, values without line breaks
around them.
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
from cbdata.call_formats.literals import JSON, PYTHON
from cbdata.call_formats.reasoning import SEED_OSS
from cbdata.call_formats.tagged_values import read_blocks
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<seed:tool_call>", "</seed:tool_call>"
BUDGET, BUDGET_END = "<seed:cot_budget_reflect>", "</seed:cot_budget_reflect>"
_OPEN = block_opening(OPEN)
# The template prints str(value); where that reads as JSON, too, both read the same.
TAGS = block_tags(CLOSE, "seed:tool_call", dialects=(JSON, PYTHON))


class SeedOss(CallFormat):
    """A call per block; a value is text where the tool's schema says string, else a literal."""

    name = "seed_oss"
    markers = (OPEN, CLOSE, *MARKERS, BUDGET, BUDGET_END)
    reasoning = (SEED_OSS,)
    end_tokens = ("<seed:eos>",)

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return read_blocks(view, start, _OPEN, TAGS, tools)

    def opens_reasoning(self, prompt: str) -> bool:
        """See CallFormat. With a budget of 0 the prompt opens a reflection, too."""
        return super().opens_reasoning(prompt.rstrip().removesuffix(BUDGET))

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return "\n".join(
            f"{OPEN}\n{FUNCTION}{name}>\n"
            + "".join(
                f"{PARAMETER}{key}>{value}{PARAMETER_END}\n" for key, value in arguments.items()
            )
            + f"{FUNCTION_END}\n{CLOSE}"
            for name, arguments in calls
        )
