"""AgentDojo messages, in every shape that the benchmark and its exports have used, to the messages
of trace_v1.

Shapes (ethz-spylab/agentdojo, ``types.py``, ``functions_runtime.py``,
``benchmark.convert_old_messages_format``): content as a string, null, or blocks ``{"type": "text" |
"thinking" | "redacted_thinking", "content": ...}``; calls as ``{id, type, function: {name,
arguments}}`` (exports) or ``{function, args, id, placeholder_args}`` (run files). Pipelines that
pass on what their provider sent add its own forms: see ``message_parts``, and ``function_call``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from cbdata.rejects import Reasons, Reject
from cbdata.sources import shown
from cbdata.sources.message_parts import PART_REASONS, metadata, read_parts
from cbdata.sources.result_calls import answered, is_call, named
from cbdata.sources.strict_json import AmbiguousJson, strict_loads

MESSAGE_REASONS: Reasons = {
    **PART_REASONS,
    "message_not_an_object": "a message is not an object",
    "unknown_role": "a message has a role that trace_v1 does not know",
    "bad_tool_call": "a tool call cannot be read",
    "bad_arguments": "a call's arguments are not an object",
    "misplaced_tool_calls": "a message that is not the model's has tool calls",
    "bad_tool_result": "a tool result cannot be read",
}

_ROLES = {"developer": "system", "function": "tool"}
"""Newer and older names of roles."""

_KNOWN = {
    "system": frozenset({"tool_calls"}),
    "user": frozenset({"tool_calls"}),
    "assistant": frozenset({"tool_calls", "function_call"}),
    "tool": frozenset({"tool_calls", "tool_call_id", "tool_call", "error", "name"}),
}
"""The keys that are read here, of the messages of each role."""

_PLAIN = {
    role: frozenset({"role", "content"}) | keys - {"function_call", "name"}
    for role, keys in _KNOWN.items()
}
"""The keys of the messages that need no look at their parts, if their content is a string."""

_CALL = frozenset({"id", "type", "function"})
_RUN_CALL = frozenset({"id", "type", "function", "args"})
_BARE_CALL = frozenset({"id", "type", "name", "args", "arguments"})
_FUNCTION = frozenset({"name", "arguments"})
"""The keys that are read of a call in each form, and of its function."""


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
    metadata: list[dict[str, Any]] = field(default_factory=list)
    """What else the messages have: ``{message_index, fields}``."""

    @property
    def finished(self) -> bool:
        """Whether the model had the last word, said something, and did not call a tool with it."""
        last = self.messages[-1]
        if last["role"] != "assistant" or "tool_calls" in last:
            return False
        return bool(last["content"].strip() or last.get("thinking"))

    def source_fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The other fields of a record, and those of its messages as ``message_fields``. Raises
        Reject if the record has a field of this name.
        """
        if not self.metadata:
            return fields
        if "message_fields" in fields:
            raise Reject("wrong_type", "message_fields: the record has a field of this name itself")
        return {**fields, "message_fields": self.metadata}


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
        role: Any = raw.get("role")
        content = raw.get("content")
        if len(raw) == 2 and type(content) is str and (role == "user" or role == "system"):
            messages.append(raw)
            continue
        plain = _PLAIN.get(role) if type(role) is str else None
        if plain is None and type(role) is str and role in _ROLES:
            flags.add(f"{role}_role")
            role = _ROLES[role]
            plain = _PLAIN[role]
        if plain is None:
            raise Reject(
                "unknown_role",
                f"messages[{index}].role: expected system, user, assistant or tool, got"
                f" {shown(role)}",
            )
        rest: dict[str, Any] = {}
        message: dict[str, Any] = {"role": role, "content": content}
        if content is None and raw.keys() <= plain:
            message["content"] = ""
        elif type(content) is not str or not raw.keys() <= plain:
            parts = read_parts(raw, role, f"messages[{index}]", flags, known=_KNOWN[role])
            message["content"], rest = parts.content, parts.metadata
            if parts.thinking is not None:
                message["thinking"] = parts.thinking
        calls = raw.get("tool_calls")
        if role == "assistant":
            talk.answered = True
            if pending:
                flags.add("call_without_result")
                pending = []
            if raw.get("function_call"):
                calls = _function_call(calls, raw["function_call"], index)
            if calls:
                pending = _calls(calls, index, used, flags, rest)
                message["tool_calls"] = turn = [call for _, call in pending]
                for call in turn:
                    talk.called.add(call["function"]["name"])
            elif not message["content"]:
                flags.add("empty_answer")
            if rest:
                _take_loss(message, rest, index)
        elif calls:
            raise Reject(
                "misplaced_tool_calls",
                f"messages[{index}]: only an assistant message can have tool_calls, this is"
                f" {shown(role)}",
            )
        elif role == "tool":
            _result(raw, message, pending, index, flags, rest)
        if rest:
            if rest.keys() != {"content_replaced"}:  # which has a flag of its own
                flags.add("unknown_message_field")
            talk.metadata.append({"message_index": index, "fields": rest})
        messages.append(message)
    if pending:
        flags.add("call_without_result")
    return talk


LOSS_KEYS = ("loss", "weight", "train", "training")
"""What formats call the weight of a turn in training: numbers, or whether it is trained at all."""


def _take_loss(message: dict[str, Any], rest: dict[str, Any], index: int) -> None:
    """Put the weight of a turn in training, which other formats call ``weight`` or ``loss``, into
    its place. Raises Reject.
    """
    given = {key: rest.pop(key) for key in LOSS_KEYS if key in rest}
    for key, loss in given.items():
        if not 0 <= loss <= 1 or message.setdefault("loss", float(loss)) != loss:
            raise Reject(
                "unknown_message_part",
                f"messages[{index}].{key}: expected one number from 0 to 1, got {shown(given)}",
            )


def _function_call(calls: Any, function_call: Any, index: int) -> list[Any]:
    """The call of a turn that OpenAI's older form has in a key of its own."""
    if calls or type(function_call) is not dict:
        raise Reject(
            "bad_tool_call",
            f"messages[{index}].function_call: expected an object and no tool_calls beside it, got"
            f" {shown(function_call)}",
        )
    return [{"function": function_call}]


def _calls(
    calls: Any, index: int, used: set[str], flags: set[str], rest: dict[str, Any]
) -> list[tuple[str | None, dict[str, Any]]]:
    """(id in the source, call of trace_v1) for each call of a turn. What else the calls hold goes
    to ``rest``.
    """
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
        if function is None and "name" in call:
            name = call["name"]
            arguments = call.get("args", call.get("arguments"))
            plain = call.keys() <= _BARE_CALL and not call.keys() >= {"args", "arguments"}
        elif type(function) is dict:
            name, arguments = function.get("name"), function.get("arguments")
            plain = call.keys() <= _CALL and function.keys() <= _FUNCTION
        else:
            name, arguments = function, call.get("args")
            plain = call.keys() <= _RUN_CALL
        if not plain and (others := _call_metadata(call, _at(index, number))):
            rest.setdefault("tool_calls", []).append({"call": number, **others})
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
        elif type(arguments) is str and arguments.strip() == "null":
            # Clients write a call without arguments so, where they hold None.
            body["arguments"], body["arguments_json"] = {}, arguments
            flags.add("call_without_arguments")
        elif type(arguments) is str and arguments.strip():
            body["arguments"] = _parsed(arguments, _at(index, number))
            body["arguments_json"] = arguments
        elif arguments is None or type(arguments) is str:
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


def _call_metadata(call: dict[str, Any], at: str) -> dict[str, Any]:
    """What a call holds that is not read. Raises Reject."""
    function = call.get("function")
    name = function.get("name") if type(function) is dict else function
    if call.get("name") and name not in (None, call["name"]):
        raise Reject("bad_tool_call", f"{at}: two names, {shown(call['name'])} and {shown(name)}")
    if function is None:
        if "args" in call and "arguments" in call:
            raise Reject("bad_tool_call", f"{at}: expected args or arguments, not both")
        return metadata(call, _BARE_CALL, at, "bad_tool_call")
    if type(function) is not dict:
        return metadata(call, _RUN_CALL, at, "bad_tool_call")
    return {
        **metadata(call, _CALL, at, "bad_tool_call"),
        **metadata(function, _FUNCTION, at, "bad_tool_call"),
    }


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
        value = strict_loads(text.encode())
    except orjson.JSONDecodeError as error:
        raise Reject(
            "bad_arguments",
            f"{where}: the arguments are text that is not JSON ({error}): {shown(text)}",
        ) from error
    except AmbiguousJson as error:
        raise Reject(error.reason, f"{where}: the arguments: {error}: {shown(text)}") from error
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
    rest: dict[str, Any],
) -> None:
    """Complete a tool message: its text, and the call that it answers (taken off ``pending``). What
    it says of a call that is not there goes to ``rest``.
    """
    error = raw.get("error")
    if error:
        if type(error) is not str:
            raise Reject(
                "bad_tool_result",
                f"messages[{index}].error: expected a string or null, got {shown(error)}",
            )
        if message["content"] and message["content"] != error:
            flags.add("content_replaced_by_error")
            rest["content_replaced"] = message["content"]
        message["content"] = error
    source_id = raw.get("tool_call_id")
    if source_id is not None and type(source_id) is not str:
        raise Reject(
            "bad_tool_result",
            f"messages[{index}].tool_call_id: expected a string or null, got {shown(source_id)}",
        )
    name = raw.get("name")
    if name is not None and type(name) is not str:
        raise Reject(
            "bad_tool_result",
            f"messages[{index}].name: expected a string or null, got {shown(name)}",
        )
    if not pending:
        flags.add("result_without_call")
        rest |= {key: raw[key] for key in ("tool_call_id", "tool_call") if raw.get(key)}
        if name:
            message["name"] = name
        return
    said = raw.get("tool_call")
    position = answered(pending, source_id, said)
    if position is None:
        position = 0
        if source_id:
            flags.add("result_matched_by_position")
    call = pending.pop(position)[1]
    if said and not is_call(said, call) and named(said) != (call["function"]["name"], None):
        flags.add("result_call_differs")
        rest["tool_call"] = said
    message["tool_call_id"] = call["call_id"]
    message["name"] = call["function"]["name"]
    if name and name != message["name"]:
        flags.add("result_name_differs")
        rest["name"] = name
