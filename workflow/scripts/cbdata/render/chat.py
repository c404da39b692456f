"""From trace_v1 messages to what a chat template is given: values that know their origin, and marks
for every message and call.

Where a template knows no tools, their list goes into the system message and the calls into the
assistant's text, in the form that Hermes and Qwen models use (``<tool_call>`` around one JSON
object per call).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cbdata.render.instrument import Marks
from cbdata.render.traced_text import Origin, Part, TracedText, join, traced, with_parts

Message = Mapping[str, Any]

TOOLS_HEADER = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
TOOLS_FOOTER = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments"
    ' within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments":'
    " <args-json-object>}\n</tool_call>"
)


def tools_text(tools: Sequence[Mapping[str, Any]]) -> str:
    """The tool list as text for a system message."""
    return (
        TOOLS_HEADER
        + "".join("\n" + json.dumps(tool, ensure_ascii=False) for tool in tools)
        + TOOLS_FOOTER
    )


def call_text(name: str, arguments: Mapping[str, Any], message: int, call: int) -> TracedText:
    """One call as text, with its own origin, its name's and its arguments'.

    Args:
        name: The tool's name.
        arguments: The call's arguments.
        message: Index of the message that makes the call.
        call: Index of the call in that message.
    """
    values = traced(json.dumps(arguments, ensure_ascii=False), Origin("arguments", message, call))
    text = join(
        "",
        [
            '<tool_call>\n{"name": ',
            _quoted(name, message, call),
            ', "arguments": ',
            values,
            "}\n</tool_call>",
        ],
    )
    return with_parts(text, (Part(0, len(text), Origin("call", message, call)), *text.parts))  # type: ignore[attr-defined]


def _quoted(name: str, message: int, call: int) -> TracedText:
    """A name as a JSON string; the origin is that of the escaped characters between the quotes."""
    text = json.dumps(name, ensure_ascii=False)
    return with_parts(text, (Part(1, len(text) - 1, Origin("name", message, call), 0, name),))


@functools.lru_cache(maxsize=4096)
def _visit(message: int, call: int) -> tuple[TracedText, TracedText]:
    """The two empty texts that a loop prints around a message (call -1) or call."""
    start, end = (
        with_parts("", (Part(0, 0, Origin(kind, message, call)),))
        for kind in ("visit_start", "visit_end")
    )
    return start, end


class TemplateInput:
    """The messages and tools of one trace as a template gets them.

    Where the template knows no tools, a system message with the tools may stand before the trace's
    own messages.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        *,
        tools_known: bool,
        calls_known: bool,
        marks: Marks,
    ) -> None:
        """Give every value its origin, and a mark to every message and call.

        Args:
            messages: The messages of a trace.
            tools: The tools to show, as JSON Schemas of functions, or None.
            tools_known: Whether the template prints tools itself.
            calls_known: Whether the template prints calls itself.
            marks: Where the template's loops look up what they print; emptied first.
        """
        self.marks = marks
        self.calls_known = calls_known
        marks.start, marks.end, marks.values = {}, {}, {}
        self.tools = list(tools) if tools and tools_known else None
        self.messages = [self._message(index, message) for index, message in enumerate(messages)]
        if tools and not tools_known:
            text = tools_text(tools)
            if messages and messages[0]["role"] == "system":
                content = self.messages[0]["content"]
                self.messages[0]["content"] = content + ("\n\n" if content else "") + text
            else:
                self.messages.insert(0, {"role": "system", "content": text})

    def _message(self, index: int, message: Message) -> dict[str, Any]:
        marks = self.marks
        content: str = traced(message["content"], Origin("content", index))
        out: dict[str, Any] = {"role": message["role"], "content": content}
        marks.start[id(out)], marks.end[id(out)] = _visit(index, -1)
        for key in ("name", "tool_call_id"):
            if message.get(key):
                out[key] = message[key]
        if message.get("thinking"):
            out["reasoning_content"] = out["thinking"] = traced(
                message["thinking"], Origin("thinking", index)
            )
        if message.get("tool_calls"):
            if self.calls_known:
                out["tool_calls"] = [
                    self._call(index, number, call)
                    for number, call in enumerate(message["tool_calls"])
                ]
            else:
                texts = [
                    call_text(
                        call["function"]["name"], call["function"]["arguments"], index, number
                    )
                    for number, call in enumerate(message["tool_calls"])
                ]
                out["content"] = join(
                    "\n", [content, *texts] if content else [content + texts[0], *texts[1:]]
                )
        return out

    def _call(self, index: int, number: int, call: Message) -> dict[str, Any]:
        function = {
            "name": traced(call["function"]["name"], Origin("name", index, number)),
            "arguments": dict(call["function"]["arguments"]),
        }
        out = {"type": "function", "id": call["call_id"], "function": function}
        marks = self.marks
        for value in (out, function):
            marks.start[id(value)], marks.end[id(value)] = _visit(index, number)
        marks.values[id(function["arguments"])] = Origin("arguments", index, number)
        return out
