"""Mistral up to tokenizer v7: ``[TOOL_CALLS]`` and a list of JSON objects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import NO_TOKENS, Block, CallFormat, Fault, Tokens, View, marker
from cbdata.call_formats.grammars import call_grammar
from cbdata.call_formats.json_calls import Keys, dump
from cbdata.call_formats.marked_json import Markup, marked_blocks
from cbdata.tools import ToolSchema

OPEN = "[TOOL_CALLS]"
KEYS = Keys(ignored=frozenset({"id"}))
MARKUP = Markup(re.compile(marker(OPEN)), None, "tool_calls")


class MistralList(CallFormat):
    """One list a turn: ``name``, ``arguments`` and perhaps an ``id``."""

    name = "mistral_list"
    markers = (OPEN,)
    end_tokens = ("</s>",)

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return marked_blocks(view, start, MARKUP, KEYS)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        listed = [{"name": name, "arguments": arguments} for name, arguments in calls]
        return f"{OPEN} {dump(listed)}"

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return call_grammar(tools, "arguments", f"{OPEN} [", "]", tokens=tokens)
