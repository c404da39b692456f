"""ReAct: a line ``Action:`` with a tool's name and a line ``Action Input:`` with a JSON object.

The words are no markers: they stand in any text. Only at the beginning of a line do they begin a
call. The thought before it is prose: it is part of the answer, and must be as clean as any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import NO_TOKENS, Block, Call, CallFormat, Fault, Tokens, View
from cbdata.call_formats.grammars import named_grammar
from cbdata.call_formats.json_calls import dump, read_arguments
from cbdata.tools import ToolSchema

_ACTION = re.compile(r"^[ \t]*+Action[ \t]*+:", re.MULTILINE)
_CALL = re.compile(r"[ \t]*+Action:[ \t]*+([\w.-]++)[ \t]*+\r?\n\s*+Action Input:\s*+(?=\{)")
# The word at which the engine is told to stop; it may be left in.
_STOP = re.compile(r"\s*+(?<=\n)Observation:\s*+\Z")


class React(CallFormat):
    """``Action: name`` and ``Action Input: {...}``."""

    name = "react"
    always_marked = False

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found: list[Block] = []
        pos = start
        while action := _ACTION.search(view.text, pos):
            opening = _CALL.match(view.text, action.start())
            if opening is None:
                return Fault(action.start(), "Action: without a name and an object as its input")
            arguments = read_arguments(view, opening.end())
            if isinstance(arguments, Fault):
                return arguments
            call = _call(view, opening, arguments)
            pos = call.end
            found.append(Block(call.start, pos, (call,)))
        if found and (stop := _STOP.match(view.text, pos)):
            found.append(Block(pos, stop.end()))
        return found

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return "\n".join(
            f"Action: {name}\nAction Input: {dump(arguments)}" for name, arguments in calls
        )

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return named_grammar(
            tools, lambda name: f"Action: {name}\nAction Input: ", "", tokens=tokens
        )


def _call(view: View, opening: re.Match[str], arguments: tuple[dict[str, Any], int]) -> Call:
    return Call(
        name=opening[1],
        arguments=arguments[0],
        raw=view.text[opening.start() : arguments[1]],
        raw_start=opening.start(),
        start=opening.start(),
        end=arguments[1],
        name_start=opening.start(1),
        name_end=opening.end(1),
        form="json",
        markup="react",
    )
