"""Phi-4-mini: JSON calls between ``<|tool_call|>`` and ``<|/tool_call|>``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import NO_TOKENS, Block, CallFormat, Fault, Tokens, View, marker
from cbdata.call_formats.grammars import call_grammar
from cbdata.call_formats.json_calls import Keys, dump
from cbdata.call_formats.marked_json import Markup, marked_blocks
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<|tool_call|>", "<|/tool_call|>"
FUNCTOOLS = "functools["
KEYS = Keys()
MARKUP = Markup(
    re.compile(marker(OPEN)), re.compile(r"\s*+" + marker(CLOSE)), "tool_call", objects=True
)
BARE_MARKUP = Markup(re.compile(marker("functools") + r"(?=\[)"), None, "functools")


class Phi4(CallFormat):
    """A list or an object per block; or ``functools[...]``, which vLLM's template asks for."""

    name = "phi4"
    markers = (OPEN, CLOSE, FUNCTOOLS)
    end_tokens = ("<|end|>", "<|endoftext|>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found = marked_blocks(view, start, MARKUP, KEYS)
        return found or marked_blocks(view, start, BARE_MARKUP, KEYS)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        listed = dump([{"name": name, "arguments": arguments} for name, arguments in calls])
        return f"{OPEN}{listed}{CLOSE}"

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return call_grammar(tools, "arguments", f"{OPEN}[", f"]{CLOSE}", tokens=tokens)
