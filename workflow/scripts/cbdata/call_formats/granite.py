"""Granite 3: a JSON list of calls behind ``<|tool_call|>``, or ``<tool_call>`` in version 3.1.

Granite 4 writes Hermes' notation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import NO_TOKENS, Block, CallFormat, Fault, Tokens, View, marker
from cbdata.call_formats.grammars import call_grammar
from cbdata.call_formats.json_calls import Keys, dump
from cbdata.call_formats.marked_json import Markup, marked_blocks
from cbdata.tools import ToolSchema

OPEN, OPEN_31 = "<|tool_call|>", "<tool_call>"
KEYS = Keys()
MARKUP = Markup(re.compile(f"{marker(OPEN)}|{marker(OPEN_31)}"), None, "tool_call")


class Granite(CallFormat):
    """One marker, one list; the list ends the calls. Granite 3.3 with reasoning puts its answer in
    ``<response>``, where no call stands.
    """

    name = "granite"
    markers = (OPEN, OPEN_31, "<response>", "</response>")
    end_tokens = ("<|end_of_text|>",)

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return marked_blocks(view, start, MARKUP, KEYS)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return OPEN + dump([{"name": name, "arguments": given} for name, given in calls])

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return call_grammar(tools, "arguments", f"{OPEN}[", "]", tokens=tokens)
