"""xLAM and others with OpenAI's keys: JSON objects, or lists of them, as the whole answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.bare_json import bare_blocks
from cbdata.call_formats.base import NO_TOKENS, Block, CallFormat, Fault, Tokens, View
from cbdata.call_formats.grammars import call_grammar
from cbdata.call_formats.json_calls import Keys, dump
from cbdata.tools import ToolSchema

KEYS = Keys(
    fixed=(("type", "function"),), ignored=frozenset({"id"}), as_string=True, wrapper="function"
)


class OpenaiJson(CallFormat):
    """``[{"name": ..., "arguments": {...}}]``, or the objects alone, or each as OpenAI's API wraps
    it: ``{"type": "function", "function": {...}}``.
    """

    name = "openai_json"
    end_tokens = ("<|im_end|>", "<|endoftext|>")
    always_marked = False

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return bare_blocks(view, start, KEYS)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return dump([{"name": name, "arguments": arguments} for name, arguments in calls])

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return call_grammar(tools, "arguments", "[", "]", tokens=tokens)
