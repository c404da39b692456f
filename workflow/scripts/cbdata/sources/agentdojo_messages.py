"""AgentDojo messages, in every shape that the benchmark and its exports have used, to the messages
of trace_v1.

Shapes (ethz-spylab/agentdojo, ``types.py``, ``functions_runtime.py``,
``benchmark.convert_old_messages_format``): content as a string, null, or blocks ``{"type": "text" |
"thinking" | "redacted_thinking", "content": ...}``; calls as ``{id, type, function: {name,
arguments}}`` (exports) or ``{function, args, id, placeholder_args}`` (run files).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from cbdata.rejects import Reject
from cbdata.sources import shown

_MESSAGE_KEYS = frozenset({"role", "content", "tool_calls", "tool_call_id", "tool_call", "error"})


@dataclass
class Transcript:
    """Normalised messages with what had to be done to them: ``flags`` names oddities that were kept
    or repaired.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    """Names of the tools that were called."""
    answered: bool = False
    """Whether there is an assistant turn."""


def normalise(raw_messages: list[Any]) -> Transcript:
    """Messages of trace_v1: content a string, call ids unique and present, each result tied to its
    call.

    Results are matched to the calls of the turn before them by id, then by position. A tool result
    with an ``error`` has the error as its text, because that is what every AgentDojo model adapter
    sends. Raises Reject.
    """
    talk = Transcript()
    flags, messages = talk.flags, talk.messages
    used: set[str] = set()
    pending: list[tuple[str | None, dict[str, Any]]] = []
    for index, raw in enumerate(raw_messages):
        if type(raw) is not dict:
            raise Reject(
                "message_not_an_object", f"messages[{index}]: expected an object, got {shown(raw)}"
            )
        role, content = raw.get("role"), raw.get("content")
        if len(raw) == 2 and type(content) is str and (role == "user" or role == "system"):
            messages.append(raw)
            continue
        calls = raw.get("tool_calls")
        message: dict[str, Any] = {"role": role, "content": content}
        if type(content) is not str:
            message["content"], thinking = _text(content, index, flags)
            if thinking is not None:
                message["thinking"] = thinking
        if not raw.keys() <= _MESSAGE_KEYS:
            flags.add("unknown_message_field")
        if role == "assistant":
            talk.answered = True
            if pending:
                flags.add("call_without_result")
                pending = []
            if calls:
                pending = _calls(calls, index, used, flags)
                message["tool_calls"] = turn = [call for _, call in pending]
                for call in turn:
                    talk.called.add(call["function"]["name"])
        elif calls:
            raise Reject(
                "misplaced_tool_calls",
                f"messages[{index}]: only an assistant message can have tool_calls, this is"
                f" {shown(role)}",
            )
        elif role == "tool":
            _result(raw, message, pending, index, flags)
        elif role != "user" and role != "system":
            raise Reject(
                "unknown_role",
                f"messages[{index}].role: expected system, user, assistant or tool, got"
                f" {shown(role)}",
            )
        messages.append(message)
    if pending:
        flags.add("call_without_result")
    return talk


def _text(content: Any, index: int, flags: set[str]) -> tuple[str, str | None]:
    """(text, thinking) of a content that is not a string; blocks are joined by newlines as
    AgentDojo joins them.
    """
    if content is None:
        return "", None
    if type(content) is not list:
        raise Reject(
            "content_not_text",
            f"messages[{index}].content: expected a string, null or a list of blocks, got"
            f" {shown(content)}",
        )
    texts: list[str] = []
    thoughts: list[str] = []
    for number, block in enumerate(content):
        where = f"messages[{index}].content[{number}]"
        if type(block) is not dict:
            raise Reject(
                "content_not_text", f"{where}: expected a content block, got {shown(block)}"
            )
        kind = block.get("type")
        text = block.get("content", block.get("text"))
        if kind not in ("text", "thinking", "redacted_thinking"):
            raise Reject(
                "unknown_content_block",
                f"{where}.type: expected text, thinking or redacted_thinking, got {shown(kind)}",
            )
        if text is None:
            continue
        if type(text) is not str:
            raise Reject(
                "content_not_text", f"{where}.content: expected a string or null, got {shown(text)}"
            )
        if kind == "redacted_thinking":
            flags.add("redacted_thinking_left_out")
        else:
            (texts if kind == "text" else thoughts).append(text)
    return "\n".join(texts), "\n".join(thoughts) if thoughts else None


def _calls(
    calls: Any, index: int, used: set[str], flags: set[str]
) -> list[tuple[str | None, dict[str, Any]]]:
    """(id in the source, call of trace_v1) for each call of a turn."""
    if type(calls) is not list:
        raise Reject(
            "bad_tool_call",
            f"messages[{index}].tool_calls: expected a list or null, got {shown(calls)}",
        )
    out: list[tuple[str | None, dict[str, Any]]] = []
    for number, call in enumerate(calls):
        if type(call) is not dict:
            raise Reject(
                "bad_tool_call", f"{_at(index, number)}: expected an object, got {shown(call)}"
            )
        function = call.get("function")
        if type(function) is dict:
            name, arguments = function.get("name"), function.get("arguments")
        else:
            name, arguments = function, call.get("args")
        if type(name) is not str:
            raise Reject(
                "bad_tool_call",
                f"{_at(index, number)}: expected the name of a function, got {shown(name)}",
            )
        source_id = call.get("id")
        if source_id is not None and type(source_id) is not str:
            raise Reject(
                "bad_tool_call",
                f"{_at(index, number)}.id: expected a string or null, got {shown(source_id)}",
            )
        body: dict[str, Any] = {"name": name}
        if type(arguments) is dict:
            body["arguments"] = arguments
        elif type(arguments) is str:
            body["arguments"] = _parsed(arguments, _at(index, number))
            body["arguments_json"] = arguments
        elif arguments is None:
            body["arguments"] = {}
            flags.add("call_without_arguments")
        else:
            raise Reject(
                "bad_arguments",
                f"{_at(index, number)}: expected arguments as an object, got {shown(arguments)}",
            )
        call_id = source_id
        if not call_id:
            call_id = f"call_{index}_{number}"
            flags.add("call_id_missing")
        if call_id in used:
            flags.add("call_id_repeated")
            call_id = _fresh(f"{call_id}_{index}_{number}", used)
        used.add(call_id)
        out.append((source_id or None, {"call_id": call_id, "function": body}))
    if len(out) > 1:
        flags.add("parallel_calls")
    return out


def _at(index: int, number: int) -> str:
    """Where a call stands, for an error."""
    return f"messages[{index}].tool_calls[{number}]"


def _fresh(stem: str, used: set[str]) -> str:
    """``stem``, lengthened until it is not in use."""
    while stem in used:
        stem += "_"
    return stem


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Reject(
            "bad_arguments",
            f"{where}: the arguments are text that is not JSON ({error}): {shown(text)}",
        ) from error
    if type(value) is not dict:
        raise Reject(
            "bad_arguments", f"{where}: expected arguments as an object, got {shown(value)}"
        )
    return value


def _result(
    raw: dict[str, Any],
    message: dict[str, Any],
    pending: list[tuple[str | None, dict[str, Any]]],
    index: int,
    flags: set[str],
) -> None:
    """Complete a tool message: its text, and the call that it answers (taken off ``pending``)."""
    error = raw.get("error")
    if error:
        if type(error) is not str:
            raise Reject(
                "bad_tool_result",
                f"messages[{index}].error: expected a string or null, got {shown(error)}",
            )
        if message["content"] and message["content"] != error:
            flags.add("content_replaced_by_error")
        message["content"] = error
    source_id = raw.get("tool_call_id")
    if source_id is not None and type(source_id) is not str:
        raise Reject(
            "bad_tool_result",
            f"messages[{index}].tool_call_id: expected a string or null, got {shown(source_id)}",
        )
    if not pending:
        flags.add("result_without_call")
        return
    position = 0
    if source_id and pending[0][0] != source_id:
        same = [number for number, (known, _) in enumerate(pending) if known == source_id]
        if same:
            position = same[0]
        else:
            flags.add("result_matched_by_position")
    call = pending.pop(position)[1]
    message["tool_call_id"] = call["call_id"]
    message["name"] = call["function"]["name"]
