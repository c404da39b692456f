"""Hermes and Qwen: ``<tool_call>`` around one JSON object per call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import NO_TOKENS, Block, CallFormat, Fault, Tokens, View, marker
from cbdata.call_formats.grammars import call_grammar
from cbdata.call_formats.json_calls import Keys, dump, read_call
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<tool_call>", "</tool_call>"
KEYS = Keys(ignored=frozenset({"id"}))
_OPEN = re.compile(marker(OPEN))
_CLOSE = re.compile(r"\s*+" + marker(CLOSE))


class HermesJson(CallFormat):
    """Calls in blocks, one object each, with ``name``, ``arguments`` and perhaps an ``id``."""

    name = "hermes_json"
    markers = (OPEN, CLOSE)
    end_tokens = ("<|im_end|>", "<|endoftext|>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found: list[Block] = []
        pos = start
        while opening := _OPEN.search(view.shape, pos):
            call = read_call(view, opening.end(), KEYS, "tool_call")
            if isinstance(call, Fault):
                return call
            close = _CLOSE.match(view.shape, call.end)
            if close is None:
                return Fault(call.end, f"{OPEN} that is not closed behind its call")
            pos = close.end()
            found.append(Block(opening.start(), pos, (call,)))
        return found

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return "\n".join(
            f'{OPEN}\n{{"name": {dump(name)}, "arguments": {dump(arguments)}}}\n{CLOSE}'
            for name, arguments in calls
        )

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return call_grammar(tools, "arguments", f"{OPEN}\n", f"\n{CLOSE}", tokens=tokens)
