"""gpt-oss: messages on channels; calls are commentary to ``functions.name``, reasoning is
analysis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import (
    MARK,
    Block,
    Call,
    CallFormat,
    Fault,
    Reading,
    Thought,
    View,
    assemble,
    marker,
)
from cbdata.call_formats.json_calls import dump, read_arguments
from cbdata.tools import ToolSchema

START, CHANNEL, MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
CONSTRAIN, END = "<|constrain|>", "<|end|>"
_TO = r"(?:[ ]*+to=(?P<{}>[^\s<>\ufdd0]++))?+"
_HEADER = re.compile(
    r"\s*+(?:" + marker(START) + "assistant)?+" + _TO.format("to1")
    + r"\s*+" + marker(CHANNEL) + r"(?P<channel>analysis|commentary|final)" + _TO.format("to2")
    + r"(?P<type>[ ]*+(?:" + marker(CONSTRAIN) + r")?+[ ]*+(?:json|code)?+)[ ]*+"
    + marker(MESSAGE)
)  # fmt: skip
_END = re.compile(marker(END))
FUNCTIONS = "functions."


class Harmony(CallFormat):
    """Each message: channel, perhaps a recipient, and text up to ``<|end|>`` or the end of turn."""

    name = "harmony"
    markers = (START, CHANNEL, MESSAGE, CONSTRAIN, END)
    reasoning = ()
    end_tokens = ("<|return|>", "<|call|>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat; ``read`` does more."""
        return []

    def read(
        self, view: View, tools: ToolSchema | None = None, *, thinking_open: bool = False
    ) -> Reading:
        """Take a completion apart, as ``CallFormat.read`` does.

        Args:
            view: The completion up to its end of turn.
            tools: Not needed here.
            thinking_open: The prompt ended behind an analysis header.
        """
        blocks: list[Block] = []
        thinking: list[Thought] = []
        pos = 0
        if thinking_open:
            end, after = _body_end(view, 0)
            if view.has_marker(0, end):
                return Reading(fault=Fault(0, "a marker inside reasoning"))
            thinking.append(Thought(0, after, 0, end))
            pos = after
        while view.shape.find(MARK, pos) >= 0:
            header = _HEADER.match(view.shape, pos)
            if header is None:
                break
            end, after = _body_end(view, header.end())
            if view.has_marker(header.end(), end):
                return assemble(view, thinking, Fault(end, "a marker inside a message"), blocks)
            to = header["to1"] or header["to2"]
            if header["to1"] and header["to2"]:
                fault = Fault(header.start(), "a message with two recipients")
                return assemble(view, thinking, fault, blocks)
            if to is not None:
                call = _call(view, header, to, end, after)
                if isinstance(call, Fault):
                    return assemble(view, thinking, call, blocks)
                blocks.append(Block(header.start(), after, (call,)))
            elif header["channel"] == "analysis":
                thinking.append(Thought(header.start(), after, header.end(), end))
            else:
                blocks.append(Block(header.start(), header.end()))
                blocks.append(Block(end, after))
            pos = after
        return assemble(view, thinking, blocks)

    def opens_reasoning(self, prompt: str) -> bool:
        """See CallFormat."""
        return prompt.rstrip().endswith(f"{CHANNEL}analysis{MESSAGE}")

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat. A call ends the turn in this notation, so several are several turns."""
        return f"{END}{START}assistant".join(
            f"{CHANNEL}commentary to={FUNCTIONS}{name} {CONSTRAIN}json{MESSAGE}{dump(arguments)}"
            for name, arguments in calls
        )


def _body_end(view: View, pos: int) -> tuple[int, int]:
    """Where a message's text ends and where its ``<|end|>`` does."""
    end = _END.search(view.shape, pos)
    return (end.start(), end.end()) if end else (len(view.text), len(view.text))


def _call(view: View, header: re.Match[str], to: str, end: int, after: int) -> Call | Fault:
    group = "to1" if header["to1"] else "to2"
    found = read_arguments(view, header.end())
    if isinstance(found, Fault):
        return found
    if view.text[found[1] : end].strip():
        return Fault(found[1], "text behind a call's arguments")
    name_start = header.start(group) + (len(FUNCTIONS) if to.startswith(FUNCTIONS) else 0)
    return Call(
        name=view.text[name_start : header.end(group)],
        arguments=found[0],
        raw=view.text[header.start() : end],
        raw_start=header.start(),
        start=header.start(),
        end=after,
        name_start=name_start,
        name_end=header.end(group),
        form="json",
        markup="channel",
    )
