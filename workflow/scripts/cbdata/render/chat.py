"""From trace_v1 messages to what a chat template is given: values that know their origin, and marks
for every message and call.

Where a template knows no tools, their list goes into the system message and the calls into the
assistant's text, in the form that Hermes and Qwen models use (``<tool_call>`` around one JSON
object per call).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cbdata.render.instrument import Marks
from cbdata.render.json_text import dump
from cbdata.render.known_json import shown_tools
from cbdata.render.reasoning_forms import FIELDS, FORMS
from cbdata.render.thinking import inline_reasoning
from cbdata.render.traced_text import (
    Origin,
    Part,
    TracedText,
    join,
    traced,
    traced_leaves,
    with_parts,
)
from cbdata.render.written_calls import WRITTEN, WrittenCalls

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


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """What a template has turned out to want.

    Attributes:
        tools_known: It prints tools itself.
        calls_known: It prints calls itself.
        string_arguments: It wants a call's arguments as JSON text, not as a mapping.
        leaves: It prints arguments one by one, so that each string in them needs its own origin.
        blocks: It wants contents as lists of blocks with a type.
        null_content: It prints calls only where the content beside them is null.
        reasoning: The form in which it takes reasoning, a name of ``reasoning_forms``.
    """

    tools_known: bool = True
    calls_known: bool = True
    string_arguments: bool = False
    leaves: bool = True
    blocks: bool = False
    null_content: bool = False
    reasoning: str = FIELDS


def tools_text(tools: Sequence[Mapping[str, Any]], hidden: Mapping[str, str]) -> str:
    """The tool list as text for a system message; ``hidden`` as for ``json_text.dump``."""
    return TOOLS_HEADER + "".join("\n" + dump(tool, hidden) for tool in tools) + TOOLS_FOOTER


def call_text(
    function: Mapping[str, Any], message: int, call: int, hidden: Mapping[str, str]
) -> TracedText:
    """One call as text, with its own origin, its name's and its arguments'.

    Args:
        function: The call's name and arguments.
        message: Index of the message that makes the call.
        call: Index of the call in that message.
        hidden: As for ``json_text.dump``.
    """
    values = traced(dump(function["arguments"], hidden), Origin("arguments", message, call))
    text = join(
        "",
        [
            '<tool_call>\n{"name": ',
            _quoted(function["name"], message, call, hidden),
            ', "arguments": ',
            values,
            "}\n</tool_call>",
        ],
    )
    return with_parts(text, (Part(0, len(text), Origin("call", message, call)), *text.parts))  # type: ignore[attr-defined]


def _quoted(name: str, message: int, call: int, hidden: Mapping[str, str]) -> TracedText:
    """A name as a JSON string; the origin is that of the escaped characters between the quotes."""
    text = dump(name, hidden)
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
        facts: TemplateFacts,
        marks: Marks,
        hidden: Mapping[str, str] | None = None,
    ) -> None:
        """Give every value its origin, and a mark to every message and call.

        Args:
            messages: The messages of a trace.
            tools: The tools to show, as JSON Schemas of functions, or None.
            facts: What the template wants.
            marks: Where the template's loops look up what they print; emptied first.
            hidden: What each hidden character of a control token stands for.
        """
        self.marks, self.facts = marks, facts
        marks.clear()
        marks.hidden = hidden or {}
        self._form = FORMS[facts.reasoning]
        self._every = self._form.every and any(each.get("thinking") for each in messages)
        self.tools = shown_tools(tools, marks) if tools and facts.tools_known else None
        self.messages = [self._message(index, message) for index, message in enumerate(messages)]
        if tools and not facts.tools_known:
            text = tools_text(tools, marks.hidden)
            if messages and messages[0]["role"] == "system":
                content = self.messages[0]["content"]
                self.messages[0]["content"] = content + ("\n\n" if content else "") + text
            else:
                self.messages.insert(0, {"role": "system", "content": text})
        if facts.blocks:
            for made in self.messages:
                if isinstance(made["content"], str) and made["content"]:
                    made["content"] = [{"type": "text", "text": made["content"]}]

    def _message(self, index: int, message: Message) -> dict[str, Any]:
        marks = self.marks
        content: str = _content(message, index)
        calls = message.get("tool_calls") or ()
        if calls and not self.facts.calls_known:
            texts = [
                call_text(call["function"], index, number, marks.hidden)
                for number, call in enumerate(calls)
            ]
            content = join("\n", [content, *texts] if content else [content + texts[0], *texts[1:]])
        out: dict[str, Any] = {"role": message["role"], "content": content}
        marks.start[id(out)], marks.end[id(out)] = _visit(index, -1)
        for key in ("name", "tool_call_id"):
            if message.get(key):
                out[key] = traced(message[key], Origin("id", index))
        if calls and self.facts.calls_known:
            out["tool_calls"] = [
                self._call(index, number, call) for number, call in enumerate(calls)
            ]
            if self.facts.null_content and not out["content"]:
                out["content"] = None
        if message.get("thinking"):
            self._form.give(out, traced(message["thinking"], Origin("thinking", index)))
        elif self._every and message["role"] == "assistant":
            self._form.give(out, "")
        return out

    def _call(self, index: int, number: int, call: Message) -> dict[str, Any]:
        marks = self.marks
        given, origin = call["function"]["arguments"], Origin("arguments", index, number)
        arguments: Any
        if self.facts.string_arguments or self._every:
            arguments = traced(dump(given, marks.hidden), origin)
        else:
            arguments = traced_leaves(given, origin) if self.facts.leaves else dict(given)
            marks.values[id(arguments)] = origin
        function = {
            "name": traced(call["function"]["name"], Origin("name", index, number)),
            "arguments": arguments,
        }
        call_id = traced(call["call_id"], Origin("id", index, number))
        out = {"type": "function", "id": call_id, "function": function}
        for value in (out, function):
            marks.start[id(value)], marks.end[id(value)] = _visit(index, number)
        return out


def _content(message: Message, index: int) -> TracedText:
    """A message's content; the reasoning with which an assistant's begins has an origin of its
    own, and so have calls in it.
    """
    content, origin = message["content"], Origin("content", index)
    found = inline_reasoning(content) if message["role"] == "assistant" else None
    written: WrittenCalls | None = message.get(WRITTEN)
    if found is None and written is None:
        return traced(content, origin)
    start = found[-1] if found else 0
    end = written.start if written else len(content)
    parts = [Part(0, start, Origin("inline", index))] if found else []
    parts.append(Part(start, end, origin, start))
    if written:
        parts += written.parts(index, content)
    return with_parts(content, tuple(parts))
