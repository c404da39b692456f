"""Mistral up to tokenizer v7: ``[TOOL_CALLS]`` and a list of JSON objects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import Block, Call, CallFormat, Fault, View, marker
from cbdata.call_formats.grammars import call_grammar
from cbdata.call_formats.json_calls import Keys, dump, read_call
from cbdata.tools import ToolSchema

OPEN = "[TOOL_CALLS]"
KEYS = Keys(ignored=frozenset({"id"}))
_OPEN = re.compile(marker(OPEN) + r"(\s*+\[(?!\s*+\]))?")
_NEXT = re.compile(r"\s*+([,\]])")


class MistralList(CallFormat):
    """One list a turn: ``name``, ``arguments`` and perhaps an ``id``."""

    name = "mistral_list"
    markers = (OPEN,)
    end_tokens = ("</s>",)
    hints = (OPEN,)

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found: list[Block] = []
        pos = start
        while opening := _OPEN.search(view.shape, pos):
            if opening[1] is None:
                return Fault(opening.start(), f"{OPEN} without a list of calls behind it")
            calls: list[Call] = []
            pos = opening.end()
            while True:
                call = read_call(view, pos, KEYS, "tool_calls")
                if isinstance(call, Fault):
                    return call
                calls.append(call)
                following = _NEXT.match(view.text, call.end)
                if following is None:
                    return Fault(call.end, "a list of calls that is not closed")
                pos = following.end()
                if following[1] == "]":
                    break
            found.append(Block(opening.start(), pos, tuple(calls)))
        return found

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        listed = [{"name": name, "arguments": arguments} for name, arguments in calls]
        return f"{OPEN} {dump(listed)}"

    def recognises(self, template: str) -> bool:
        """See CallFormat."""
        return OPEN in template and "[ARGS]" not in template

    def grammar(self, tools: ToolSchema) -> str:
        """See CallFormat."""
        return call_grammar(tools, "arguments", f"{OPEN} [", "]")
