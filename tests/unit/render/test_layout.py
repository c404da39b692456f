"""Turns and calls from origins alone, on a layout small enough to count by hand."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.render.layout import lay_out
from cbdata.render.runs import collect
from cbdata.render.traced_text import Origin, Part, TracedText, traced, with_parts
from cbdata.render.turns import Landmarks

LANDMARKS = Landmarks(generation_prompt="A:", turn_ends=frozenset({"."}))


def mark(kind: str, message: int, call: int = -1) -> TracedText:
    """What a loop prints, without a character, where a message or call begins or ends."""
    return with_parts("", (Part(0, 0, Origin(kind, message, call)),))


def conversation(said: str = "yes", said_as: str = "yes") -> tuple[list[Any], list[str]]:
    """Two messages, and the chunks of ``U:hi. A:yes.``; the second may be printed otherwise."""
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": said}]
    chunks: list[str] = []
    for index, (head, text) in enumerate((("U:", "hi"), ("A:", said_as))):
        body = traced(text, Origin("content", index))
        chunks += [mark("visit_start", index), head, body, ". ", mark("visit_end", index)]
    return messages, chunks


def controls(text: str) -> list[tuple[int, int, str]]:
    return [(at, at + 1, ".") for at, char in enumerate(text) if char == "."]


def test_a_turn_ends_with_its_token_and_content_begins_behind_the_generation_prompt() -> None:
    messages, chunks = conversation()
    text, parts = collect(chunks)
    assert text == "U:hi. A:yes. "
    user, assistant = lay_out(text, parts, messages, controls(text), LANDMARKS)
    assert text[user.start : user.end] == "U:hi."
    assert text[user.content_start : user.content_end] == "hi."
    assert text[assistant.start : assistant.end] == "A:yes."
    assert text[assistant.content_start : assistant.content_end] == "yes."


def test_the_sequence_start_token_belongs_to_no_turn() -> None:
    messages, chunks = conversation()
    text, parts = collect(["^", *chunks])
    user, _ = lay_out(text, parts, messages, controls(text), Landmarks("A:", frozenset("."), "^"))
    assert text[user.start : user.end] == "U:hi."


def test_what_the_template_leaves_out_is_a_reject() -> None:
    messages, chunks = conversation(said="yes or no", said_as="yes")
    text, parts = collect(chunks)
    with pytest.raises(Reject, match=r"content_dropped: message 1 .* leaves out ' or no'"):
        lay_out(text, parts, messages, controls(text), LANDMARKS)


def test_a_message_that_is_printed_twice_or_never_is_a_reject() -> None:
    messages, chunks = conversation()
    text, parts = collect([*chunks, *chunks])
    with pytest.raises(Reject, match="message_rendered_twice"):
        lay_out(text, parts, messages, controls(text), LANDMARKS)
    text, parts = collect(chunks[:5])
    with pytest.raises(Reject, match=r"message_not_rendered: .* message 1"):
        lay_out(text, parts, messages, controls(text), LANDMARKS)


def test_a_call_lies_between_its_visits_and_holds_its_name_once() -> None:
    call = {"function": {"name": "find", "arguments": {"key": "tide"}}}
    messages = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    chunks = [
        mark("visit_start", 0),
        "A:",
        mark("visit_start", 0, 0),
        "(",
        traced("find", Origin("name", 0, 0)),
        ' key="tide") ',
        mark("visit_end", 0, 0),
        ".",
        mark("visit_end", 0),
    ]
    text, parts = collect(chunks)
    (turn,) = lay_out(text, parts, messages, controls(text), LANDMARKS)
    (span,) = turn.calls
    assert text[span.start : span.end] == '(find key="tide")'
    assert text[span.name_start : span.name_end] == "find"
    shorter, parts = collect([*chunks[:5], ' key="") ', *chunks[6:]])
    with pytest.raises(Reject, match=r"arguments_dropped: .* leaves out 'tide'"):
        lay_out(shorter, parts, messages, controls(shorter), LANDMARKS)
