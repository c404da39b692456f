"""ShareGPT's turns, ``{"from": ..., "value": ...}``, as messages in the OpenAI form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import call_format
from cbdata.rejects import Reasons, Reject
from cbdata.sources import shown
from cbdata.sources.strict_json import AmbiguousJson, strict_loads

REASONS: Reasons = {
    "unknown_speaker": "a turn is by somebody whom the form does not know",
    "turn_not_text": "a turn has no text",
    "calls_in_text": "an answer holds the markup of calls, and cannot be read as calls",
    "two_system_texts": "the record has a system text, and a system turn as well",
}

SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "function_call": "calls",
    "tool_call": "calls",
    "observation": "tool",
    "tool": "tool",
    "tool_response": "tool",
    "function_response": "tool",
}
"""What the words after ``from`` mean in the data sets that use the form."""

MARKUP = "<tool_call>"
_OPEN, _CLOSE = "<tool_response>", "</tool_response>"


def openai_messages(rows: Sequence[Any], system: Any) -> list[dict[str, Any]]:
    """The turns as messages.

    A turn of calls (JSON, one call or a list) becomes the calls of the assistant's turn before it,
    or a turn of its own. ``<tool_call>`` blocks of an answer become its calls if every character of
    it is accounted for.

    Args:
        rows: The turns.
        system: The system text that the record has beside them, or null.

    Raises:
        Reject: A turn cannot be read.
    """
    messages: list[dict[str, Any]] = []
    if system is not None and system != "":
        if not isinstance(system, str):
            raise Reject("turn_not_text", f"system: expected text, got {shown(system)}")
        messages.append({"role": "system", "content": system})
    for index, row in enumerate(rows):
        speaker, text = _turn(row, index)
        if speaker == "system" and messages:
            raise Reject("two_system_texts", f"turn {index}: a system text is there already")
        if speaker == "calls":
            calls = _calls(text, index)
            last = messages[-1] if messages else {}
            if last.get("role") == "assistant" and "tool_calls" not in last:
                last["tool_calls"] = calls
            else:
                messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        elif speaker == "assistant" and MARKUP in text:
            messages.append(_marked(text, index))
        elif speaker == "tool":
            messages += [{"role": "tool", "content": each} for each in _results(text)]
        else:
            messages.append({"role": speaker, "content": text})
    return messages


def _turn(row: Any, index: int) -> tuple[str, str]:
    if not isinstance(row, dict):
        raise Reject("turn_not_text", f"turn {index}: expected an object, got {shown(row)}")
    said_by, text = row.get("from"), row.get("value")
    speaker = SPEAKERS.get(said_by) if isinstance(said_by, str) else None
    if speaker is None:
        raise Reject(
            "unknown_speaker",
            f"turn {index}: expected from to be one of {', '.join(SPEAKERS)}, got {shown(said_by)}",
        )
    if not isinstance(text, str):
        raise Reject("turn_not_text", f"turn {index}: expected value to be text, got {shown(text)}")
    return speaker, text


def _calls(text: str, index: int) -> list[dict[str, Any]]:
    """The calls of a turn of calls."""
    try:
        value = strict_loads(text.encode())
    except (orjson.JSONDecodeError, AmbiguousJson) as error:
        raise Reject(
            "calls_in_text", f"turn {index}: expected calls as JSON, got {shown(text)} ({error})"
        ) from error
    calls = value if isinstance(value, list) else [value]
    for call in calls:
        if not isinstance(call, dict) or not {"name", "arguments"} <= call.keys():
            raise Reject(
                "calls_in_text", f"turn {index}: expected name and arguments, got {shown(call)}"
            )
    if not calls:
        raise Reject("calls_in_text", f"turn {index}: expected calls, the list is empty")
    return [{"function": {"name": each["name"], "arguments": each["arguments"]}} for each in calls]


def _marked(text: str, index: int) -> dict[str, Any]:
    """An answer whose calls are marked up in its text."""
    reader = call_format("hermes_json")
    view, _ = Completion.spelled(text).view(reader, frozenset())
    read = reader.read(view, None, thinking_open=False)
    prose = "\n".join(text[start:end] for start, end in read.prose)
    if read.fault or not read.calls or any(mark in prose for mark in reader.all_markers):
        why = f"character {read.fault.at}: {read.fault.reason}" if read.fault else "markup is left"
        raise Reject("calls_in_text", f"turn {index}: {why}")
    thoughts = [text[each.text_start : each.text_end].strip() for each in read.thinking]
    blocks = [{"type": "thinking", "content": thought} for thought in filter(None, thoughts)]
    return {
        "role": "assistant",
        "content": [*blocks, {"type": "text", "content": prose}] if blocks else prose,
        "tool_calls": [
            {"function": {"name": call.name, "arguments": call.arguments}} for call in read.calls
        ],
    }


def _results(text: str) -> list[str]:
    """The results of a turn of results: each block of markup, or the whole text without any."""
    if not text.strip().startswith(_OPEN):
        return [text]
    pieces = text.strip().removeprefix(_OPEN).removesuffix(_CLOSE).split(_CLOSE)
    if not text.strip().endswith(_CLOSE) or any(
        _OPEN not in piece or piece.split(_OPEN, 1)[0].strip() for piece in pieces[1:]
    ):
        return [text]
    return [pieces[0].strip("\n"), *(piece.split(_OPEN, 1)[1].strip("\n") for piece in pieces[1:])]
