"""Calls that stand in a message's content, as a chat template is given them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cbdata.render.traced_text import Origin, Part

if TYPE_CHECKING:  # the call formats take long to import, and the tokenizer is to be loaded by then
    from cbdata.call_formats.base import Call

WRITTEN = "written_calls"
"""The key under which a message that the template is given has its ``WrittenCalls``."""

Message = Mapping[str, Any]


@dataclass(frozen=True)
class WrittenCalls:
    """The calls in a message's content.

    Attributes:
        start: Where the text before them ends and the first one begins.
        calls: The calls as a trace has them.
        places: Where each stands in the content.
        kept: The stretches ``[start, end)`` that are control tokens of their markup.
        close: What the template prints behind the arguments of a call (``Landmarks.call_close``).
    """

    start: int
    calls: tuple[dict[str, Any], ...]
    places: tuple[Call, ...]
    kept: tuple[tuple[int, int], ...]
    close: str = ""

    def parts(self, index: int, content: str) -> list[Part]:
        """The origins of the stretches of the content of message ``index``."""
        out: list[Part] = []
        close = self.close
        for number, call in enumerate(self.places):
            behind = content.rfind(close, call.name_end, call.end) if close else -1
            stop = behind if behind >= 0 else max(call.raw_start + len(call.raw), call.name_end)
            arguments = Origin("arguments", index, number)
            begin = min(call.raw_start, call.name_start)
            out += [
                Part(call.start, call.end, Origin("call", index, number)),
                Part(begin, call.name_start, arguments),
                Part(call.name_start, call.name_end, Origin("name", index, number)),
                Part(call.name_end, min(stop, call.end), arguments),
            ]
        return out


def as_calls(message: Message) -> Message:
    """A message with the calls that were written into its content as calls beside it."""
    written = message.get(WRITTEN)
    if written is None:
        return message
    others = {key: value for key, value in message.items() if key != WRITTEN}
    calls = list(written.calls)
    return {**others, "content": message["content"][: written.start], "tool_calls": calls}
