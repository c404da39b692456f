"""Seed-OSS: ``<function=..><parameter=..>`` in a ``<seed:tool_call>``, values without line breaks
around them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import Block, CallFormat, Fault, View, marker
from cbdata.call_formats.literals import JSON, PYTHON
from cbdata.call_formats.reasoning import SEED_OSS
from cbdata.call_formats.tagged_values import Tags, read_blocks
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<seed:tool_call>", "</seed:tool_call>"
FUNCTION, FUNCTION_END = "<function=", "</function>"
PARAMETER, PARAMETER_END = "<parameter=", "</parameter>"
BUDGET, BUDGET_END = "<seed:cot_budget_reflect>", "</seed:cot_budget_reflect>"
_NAME = r"([^<>={}\s\"']++)>"
_OPEN = re.compile(marker(OPEN) + r"(?:\s*+" + marker(FUNCTION) + _NAME + ")?")
TAGS = Tags(
    argument=re.compile(r"\s*+" + marker(PARAMETER) + _NAME),
    argument_end=PARAMETER_END,
    close=re.compile(r"\s*+" + marker(FUNCTION_END) + r"\s*+" + marker(CLOSE)),
    markup="seed:tool_call",
    # The template prints str(value); where that reads as JSON, too, both read the same.
    dialects=(JSON, PYTHON),
)


class SeedOss(CallFormat):
    """A call per block; a value is text where the tool's schema says string, else a literal."""

    name = "seed_oss"
    markers = (
        *(OPEN, CLOSE, FUNCTION, FUNCTION_END, PARAMETER, PARAMETER_END),
        *(BUDGET, BUDGET_END),
    )
    reasoning = (SEED_OSS,)
    end_tokens = ("<seed:eos>",)
    hints = (OPEN,)

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
