"""Mistral from tokenizer v11 on: ``[TOOL_CALLS]name[ARGS]{...}``, perhaps with the call's id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import (
    NO_TOKENS,
    Block,
    Call,
    CallFormat,
    Fault,
    Tokens,
    View,
    marker,
)
from cbdata.call_formats.grammars import named_grammar
from cbdata.call_formats.json_calls import dump, read_arguments
from cbdata.call_formats.reasoning import MISTRAL, THINK
from cbdata.tools import ToolSchema

OPEN, CALL_ID, ARGS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
_OPEN = re.compile(
    marker(OPEN)
    + r"(?:([^\s<>{}\[\]\"'\ufdd0]++)(?:"
    + marker(CALL_ID)
    + r"[A-Za-z0-9_-]++)?+"
    + marker(ARGS)
    + ")?"
)


class MistralArgs(CallFormat):
    """A call per marker, its arguments one JSON object."""

    name = "mistral_args"
    markers = (OPEN, CALL_ID, ARGS)
    reasoning = (MISTRAL, THINK)
    end_tokens = ("</s>",)

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found: list[Block] = []
        pos = start
        while opening := _OPEN.search(view.shape, pos):
            if opening[1] is None:
                return Fault(opening.start(), f"{OPEN} without a name and {ARGS} behind it")
            read = read_arguments(view, opening.end())
            if isinstance(read, Fault):
                return read
            arguments, pos = read
            raw_start = opening.start(1)
            call = Call(
                name=opening[1],
                arguments=arguments,
                raw=view.text[raw_start:pos],
                raw_start=raw_start,
                start=opening.start(),
                end=pos,
                name_start=raw_start,
                name_end=opening.end(1),
                form="json",
                markup="tool_calls",
            )
            found.append(Block(opening.start(), pos, (call,)))
        return found

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return "".join(f"{OPEN}{name}{ARGS}{dump(arguments)}" for name, arguments in calls)

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return named_grammar(tools, lambda name: f"{OPEN}{name}{ARGS}", "", tokens=tokens)
