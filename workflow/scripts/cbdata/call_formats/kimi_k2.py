"""Kimi K2: a section of calls, each an id such as ``functions.name:0`` and a JSON object."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import NO_TOKENS, Block, Call, CallFormat, Fault, Tokens, View, marker
from cbdata.call_formats.grammars import named_grammar
from cbdata.call_formats.json_calls import dump, read_named_call
from cbdata.call_formats.sections import Section, section_blocks
from cbdata.tools import ToolSchema

SECTION, SECTION_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL, ARGUMENTS, CALL_END = (
    "<|tool_call_begin|>",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
)
PREFIX = "functions."
_SECTION = Section(
    re.compile(marker(SECTION)), re.compile(r"\s*+" + marker(SECTION_END)), "tool_calls_section"
)
_CALL = re.compile(
    r"\s*+" + marker(CALL) + r"\s*+(?:functions\.)?+([\w.-]++):[0-9]++\s*+" + marker(ARGUMENTS)
)
_CALL_END = re.compile(r"\s*+" + marker(CALL_END))


class KimiK2(CallFormat):
    """The name is the id without its prefix and its number."""

    name = "kimi_k2"
    markers = (SECTION, SECTION_END, CALL, ARGUMENTS, CALL_END)
    end_tokens = ("<|im_end|>", "[EOS]")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return section_blocks(view, start, _SECTION, _call)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat. The ids are counted from 0."""
        written = "".join(
            f"{CALL}{PREFIX}{name}:{at}{ARGUMENTS}{dump(arguments)}{CALL_END}"
            for at, (name, arguments) in enumerate(calls)
        )
        return f"{SECTION}{written}{SECTION_END}"

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return named_grammar(
            tools,
            lambda name: f"{SECTION}{CALL}{PREFIX}{name}:0{ARGUMENTS}",
            f"{CALL_END}{SECTION_END}",
            tokens=tokens,
        )


def _call(view: View, pos: int) -> Call | Fault | None:
    opening = _CALL.match(view.shape, pos)
    if opening is None:
        return None
    return read_named_call(view, opening, _CALL_END, CALL_END, "tool_calls_section")
