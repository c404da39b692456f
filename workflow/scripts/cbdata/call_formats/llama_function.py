"""Llama 3.1's custom tool form and Functionary: ``<function=name>{...}</function>``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import NO_TOKENS, Block, CallFormat, Fault, Tokens, View, marker
from cbdata.call_formats.grammars import named_grammar
from cbdata.call_formats.json_calls import dump, read_named_call
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<function=", "</function>"
_OPEN = re.compile(marker(OPEN) + r"(?:([^<>={}\s\"']++)>\s*+(?=\{))?")
_CLOSE = re.compile(r"\s*+" + marker(CLOSE))


class LlamaFunction(CallFormat):
    """A call per tag, its arguments one JSON object."""

    name = "llama_function"
    markers = (OPEN, CLOSE)
    end_tokens = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found: list[Block] = []
        pos = start
        while opening := _OPEN.search(view.shape, pos):
            if opening[1] is None:
                return Fault(opening.start(), f"{OPEN} without a name and an object behind it")
            call = read_named_call(view, opening, _CLOSE, CLOSE, "function")
            if isinstance(call, Fault):
                return call
            pos = call.end
            found.append(Block(opening.start(), pos, (call,)))
        return found

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return "\n".join(f"{OPEN}{name}>{dump(arguments)}{CLOSE}" for name, arguments in calls)

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return named_grammar(tools, lambda name: f"{OPEN}{name}>", CLOSE, tokens=tokens)
