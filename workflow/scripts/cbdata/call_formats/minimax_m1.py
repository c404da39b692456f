"""MiniMax M1: JSON objects, one a line, in one ``<tool_calls>``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import NO_TOKENS, Block, Call, CallFormat, Fault, Tokens, View, marker
from cbdata.call_formats.grammars import call_grammar
from cbdata.call_formats.json_calls import Keys, dump, read_call
from cbdata.call_formats.sections import Section, section_blocks
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<tool_calls>", "</tool_calls>"
KEYS = Keys()
_SECTION = Section(re.compile(marker(OPEN)), re.compile(r"\s*+" + marker(CLOSE)), "tool_calls")


class MinimaxM1(CallFormat):
    """Calls in one block, an object each, with ``name`` and ``arguments``."""

    name = "minimax_m1"
    markers = (OPEN, CLOSE)
    end_tokens = ("<end_of_sentence>",)

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return section_blocks(view, start, _SECTION, _call)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        lines = "".join(
            f'{{"name": {dump(name)}, "arguments": {dump(arguments)}}}\n'
            for name, arguments in calls
        )
        return f"{OPEN}\n{lines}{CLOSE}"

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return call_grammar(tools, "arguments", f"{OPEN}\n", f"\n{CLOSE}", tokens=tokens)


def _call(view: View, pos: int) -> Call | Fault | None:
    if not view.text.startswith("{", view.skip_space(pos)):
        return None
    return read_call(view, pos, KEYS, "tool_calls")
