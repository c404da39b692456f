"""Where a transcript is cut, and what is kept of it in front of the cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cbdata.ids import digest
from cbdata.records import CharSpan, DecisionKind, DecisionPoints, DecisionPrefix, Message
from cbdata.rejects import Reject
from cbdata.traces.injections import injection_spans


@dataclass(frozen=True)
class CutSettings:
    """The settings of the stage; keys and meanings are those of the configuration."""

    decision_points: DecisionPoints
    decision_prefix: DecisionPrefix


@dataclass(frozen=True)
class Cut:
    """What stands in front of one decision point of a trace.

    ``message_index``: the assistant turn to be written, in the messages of the trace. ``spans``:
    the injection's places, in the messages that are kept. ``key``: the same for traces that give
    the same skeleton.
    """

    kind: DecisionKind
    message_index: int
    messages: list[Message]
    spans: list[CharSpan]
    key: str


def is_cut(trace: Mapping[str, Any], settings: CutSettings) -> bool:
    """Whether a trace has decision points: one with an injection that the model saw, or with
    ``every_turn`` a run without an attack.

    Args:
        trace: A valid trace_v1.
        settings: Where traces are cut.
    """
    labels = trace["labels"]
    if labels["attack_present"]:
        return bool(labels["exposed"])
    return settings.decision_points == "every_turn" and trace["completeness"] == "complete"


def cuts(trace: Mapping[str, Any], settings: CutSettings) -> Iterator[Cut]:
    """Cut a trace at its decision points.

    A trace with an injection is cut behind the turn of tool results in which it first stands; all
    results of that turn are kept. A run without an attack is cut at each of its assistant turns.

    Args:
        trace: A valid trace_v1 for which ``is_cut``.
        settings: Where traces are cut, and what is kept in front of the cut: all that was recorded,
            or of the turns before it only those of the user and the system, and of its own calls
            only those whose results hold the injection (``minimal``). A clean run is always kept
            as it was recorded.

    Raises:
        Reject: The trace cannot be cut.
    """
    messages: list[Message] = trace["messages"]
    if trace["labels"]["attack_present"]:
        yield _injection_cut(trace, messages, settings.decision_prefix)
        return
    for index, message in enumerate(messages):
        if message["role"] == "assistant" and index:
            yield _cut(trace, "clean", index, messages[:index], [])


def _injection_cut(
    trace: Mapping[str, Any], messages: Sequence[Message], prefix: DecisionPrefix
) -> Cut:
    spans = injection_spans(trace)
    if not spans:
        raise Reject(
            "span_missing", "labels.exposed is true, and signal_hints names no injection span"
        )
    for span in spans:
        index, start, end = span["message_index"], span["char_start"], span["char_end"]
        length = len(messages[index]["content"]) if index < len(messages) else 0
        if not 0 <= start < end <= length:
            raise Reject(
                "span_outside_message",
                f"[{start}, {end}) of message {index}, which has {length} characters",
            )
    first = spans[0]["message_index"]
    if messages[first]["role"] != "tool":
        raise Reject(
            "injection_not_in_tool_result",
            f"message {first} is one of role {messages[first]['role']}",
        )
    stop = first + 1
    while stop < len(messages) and messages[stop]["role"] == "tool":
        stop += 1
    kept = list(messages[:stop])
    inside = [span for span in spans if span["message_index"] < stop]
    if prefix == "minimal":
        kept, inside = _minimal(kept, inside)
    return _cut(trace, "injection", stop, kept, inside)


def _minimal(
    messages: Sequence[Message], spans: Sequence[CharSpan]
) -> tuple[list[Message], list[CharSpan]]:
    """The prefix without the turns and calls that did not bring the injection in."""
    injected = {span["message_index"] for span in spans}
    wanted = {messages[index].get("tool_call_id") for index in injected}
    turn = min(injected)
    while turn >= 0 and messages[turn]["role"] != "assistant":
        turn -= 1
    calls = [] if turn < 0 else messages[turn].get("tool_calls", [])
    calls = [call for call in calls if call["call_id"] in wanted]
    if len(calls) != len(injected):
        raise Reject(
            "result_without_call",
            f"{len(injected)} results hold the injection, {len(calls)} calls of message {turn}"
            " have their ids",
        )
    kept: list[Message] = []
    moved: dict[int, int] = {}
    for index, message in enumerate(messages):
        if index == turn:
            message = message.copy()
            message["tool_calls"] = calls
        elif index not in injected and message["role"] not in ("system", "user"):
            continue
        moved[index] = len(kept)
        kept.append(message)
    return kept, [{**span, "message_index": moved[span["message_index"]]} for span in spans]


def _cut(
    trace: Mapping[str, Any],
    kind: DecisionKind,
    index: int,
    messages: list[Message],
    spans: list[CharSpan],
) -> Cut:
    task = trace["task"]
    attack = [
        messages[span["message_index"]]["content"][span["char_start"] : span["char_end"]]
        for span in spans
    ]
    return Cut(
        kind,
        index,
        messages,
        spans,
        digest([task["family"], task.get("name"), attack, [_said(each) for each in messages]]),
    )


def _said(message: Message) -> list[Any]:
    """A message without the ids of its calls, which every run makes up anew: a result belongs to
    its call by its place.
    """
    return [
        message["role"],
        message["content"],
        message.get("thinking"),
        [
            [call["function"]["name"], call["function"]["arguments"]]
            for call in message.get("tool_calls", ())
        ],
    ]
