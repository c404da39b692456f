"""DeepSeek V3 and R1: a type, a name, and arguments in a JSON fence, between control tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import NO_TOKENS, Block, CallFormat, Fault, Tokens, View, marker
from cbdata.call_formats.deepseek_sections import (
    CALL,
    CALL_END,
    END_TOKENS,
    MARKERS,
    NAME,
    SECTION,
    SECTION_END,
    SEPARATOR,
    deepseek_blocks,
)
from cbdata.call_formats.grammars import named_grammar
from cbdata.call_formats.json_calls import dump
from cbdata.tools import ToolSchema

TYPE = "function"
_HEAD = re.compile(TYPE + marker(SEPARATOR) + NAME + r"[ \t]*+\n```json[ \t]*+\n\s*+")
_TAIL = re.compile(r"[ \t]*+\n\s*+```\s*+" + marker(CALL_END))


class DeepseekV3(CallFormat):
    """Calls in a section, a line break between two."""

    name = "deepseek_v3"
    markers = MARKERS
    end_tokens = END_TOKENS

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return deepseek_blocks(view, start, _HEAD, _TAIL)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        written = "\n".join(
            f"{CALL}{TYPE}{SEPARATOR}{name}\n```json\n{dump(arguments)}\n```{CALL_END}"
            for name, arguments in calls
        )
        return f"{SECTION}{written}{SECTION_END}"

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return named_grammar(
            tools,
            lambda name: f"{SECTION}{CALL}{TYPE}{SEPARATOR}{name}\n```json\n",
            f"\n```{CALL_END}{SECTION_END}",
            tokens=tokens,
        )
