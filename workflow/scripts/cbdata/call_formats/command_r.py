"""Command R7B, Command A and later: a JSON list of calls between ``<|START_ACTION|>`` and
``<|END_ACTION|>``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import MARK, Block, CallFormat, Fault, View, marker
from cbdata.call_formats.json_calls import Keys, dump
from cbdata.call_formats.marked_json import Markup, marked_blocks
from cbdata.call_formats.reasoning import COMMAND_R
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<|START_ACTION|>", "<|END_ACTION|>"
ANSWERS = (("<|START_RESPONSE|>", "<|END_RESPONSE|>"), ("<|START_TEXT|>", "<|END_TEXT|>"))
KEYS = Keys(name="tool_name", arguments="parameters", ignored=frozenset({"tool_call_id"}))
MARKUP = Markup(re.compile(marker(OPEN)), re.compile(r"\s*+" + marker(CLOSE)), "START_ACTION")
_NO_MARK = f"[^{MARK}]*+"
_ANSWER = re.compile(
    "|".join(f"({marker(begin)}){_NO_MARK}({marker(end)})" for begin, end in ANSWERS)
)
# A generation prompt may open the answer, so a completion may begin inside it.
_OPENED_ANSWER = re.compile(_NO_MARK + "(" + "|".join(marker(end) for _, end in ANSWERS) + ")")


class CommandR(CallFormat):
    """Calls in an action, words to the user in a response, whose markers are markup."""

    name = "command_r"
    markers = (OPEN, CLOSE, *(mark for answer in ANSWERS for mark in answer))
    reasoning = (COMMAND_R,)
    end_tokens = ("<|END_OF_TURN_TOKEN|>",)

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found = marked_blocks(view, start, MARKUP, KEYS)
        return found if isinstance(found, Fault) else [*found, *_answer_markup(view, start)]

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        listed = ",\n".join(
            "    " + dump({"tool_call_id": str(at), "tool_name": name, "parameters": arguments})
            for at, (name, arguments) in enumerate(calls)
        )
        return f"{OPEN}[\n{listed}\n]{CLOSE}"


def _answer_markup(view: View, start: int) -> list[Block]:
    """The markers around words to the user."""
    found: list[Block] = []
    if opened := _OPENED_ANSWER.match(view.shape, start):
        found.append(Block(opened.start(1), opened.end(1)))
    for answer in _ANSWER.finditer(view.shape, start):
        begin, end = (1, 2) if answer[1] else (3, 4)
        found += [Block(*answer.span(begin)), Block(*answer.span(end))]
    return found
