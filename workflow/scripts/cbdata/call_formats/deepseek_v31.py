"""DeepSeek V3.1: a name and its arguments between control tokens."""

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

_HEAD = re.compile(NAME + marker(SEPARATOR) + r"\s*+")
_TAIL = re.compile(r"\s*+" + marker(CALL_END))


class DeepseekV31(CallFormat):
    """Calls in a section, nothing between two."""

    name = "deepseek_v31"
    markers = MARKERS
    end_tokens = END_TOKENS

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return deepseek_blocks(view, start, _HEAD, _TAIL)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        written = "".join(
            f"{CALL}{name}{SEPARATOR}{dump(arguments)}{CALL_END}" for name, arguments in calls
        )
        return f"{SECTION}{written}{SECTION_END}"

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return named_grammar(
            tools,
            lambda name: f"{SECTION}{CALL}{name}{SEPARATOR}",
            f"{CALL_END}{SECTION_END}",
            tokens=tokens,
        )
