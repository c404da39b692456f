"""Turns and calls from origins alone, on a layout small enough to count by hand."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.render.layout import lay_out
from cbdata.render.renderer import Renderer
from cbdata.render.runs import collect
from cbdata.render.traced_text import Origin, Part, TracedText, traced, with_parts
from cbdata.render.turns import Landmarks
from tests.unit.render.families import a_call, family_renderer

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


CALLED = (
    "{% if m.tool_calls %}<|calls|>{% for c in m.tool_calls %}<|call|>{{ c.function.name }}"
    "{{ c.function.arguments | tojson }}<|done|>{% endfor %}<|called|>{% endif %}"
)
LAST_APART = (
    "{% for m in messages[:-1] %}<|{{ m.role }}|>{{ m.content }}" + CALLED + "END{% endfor %}"
    "{% set m = messages[-1] %}<|{{ m.role }}|>{{ m.content }}" + CALLED + "END"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
END_PENDING = (
    "{% set ns = namespace(out='', end='') %}{% for m in messages %}"
    "{% set ns.out = ns.out ~ ns.end ~ '<|' ~ m.role ~ '|>' ~ m.content %}"
    "{% if m.tool_calls %}{% set calls = namespace(all=[]) %}{% for c in m.tool_calls %}"
    "{% set calls.all = calls.all + ['<|call|>' ~ c.function.name ~ c.function.arguments | tojson]"
    " %}{% endfor %}"
    "{% set ns.out = ns.out ~ '<|calls|>' ~ calls.all | join('<|done|>') ~ '<|called|>' %}"
    "{% endif %}{% set ns.end = '<|end|>' %}{% endfor %}{{ ns.out ~ ns.end }}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.parametrize(
    ("source", "end"),
    [
        (LAST_APART, "END"),
        (LAST_APART.replace("END", "<|end|>"), "<|end|>"),
        (END_PENDING, "<|end|>"),
    ],
)
def test_the_end_of_a_turn_that_another_place_prints(
    source: str, end: str, smollm2_renderer: Renderer
) -> None:
    """Outside the loop over the messages, in letters, or with the next message: the end and the
    closing of the calls are in the turn, whether it is the last one or not.
    """
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    ask = {"role": "user", "content": "ask"}
    calls = [a_call(1, "look", x=1), a_call(2, "put", y=2)]
    turn = {"role": "assistant", "content": "so", "tool_calls": calls}
    result = {"role": "tool", "content": "found", "tool_call_id": "call00001"}
    done = {"role": "assistant", "content": "done"}
    for messages in ([ask, turn], [ask, turn, result, done], [ask, done, ask, turn]):
        draft = renderer.draft(messages)
        for each in draft.turns:
            if each.role == "assistant":
                shown = draft.text[each.own_start : each.content_end]
                closing = "<|called|>" if each.calls else "done"
                assert shown.endswith(closing + end)
                assert shown.startswith("so<|calls|>" if each.calls else "done")


IN_LETTERS = (
    "### {{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}<call>"
    "{{ c.function.name }}{{ c.function.arguments | tojson }}</call>{% endfor %}END"
)
ASKS = "{% if add_generation_prompt %}### assistant: {% endif %}"
LOOPED = "{% for m in messages %}" + IN_LETTERS + "{% endfor %}" + ASKS
LAST_OUTSIDE = (
    "{% for m in messages[:-1] %}" + IN_LETTERS + "\n{% endfor %}"
    "{% set m = messages[-1] %}" + IN_LETTERS + ASKS
)
STOP = "{% if loop.last and m.role == 'assistant' %}<|end|>{% endif %}\n"


@pytest.mark.parametrize(
    ("source", "end", "last"),
    [
        (LOOPED.replace("END", " ### End" + STOP), " ### End", "<|end|>"),
        (LOOPED.replace("END", ">>\n"), ">>", ""),
        (LOOPED.replace("END", "\n"), "", ""),
        (LAST_OUTSIDE.replace("END", ""), "", ""),
        (LAST_OUTSIDE.replace("END", " END"), " END", ""),
        (LAST_OUTSIDE.replace("END", ">>"), ">>", ""),
        (LAST_OUTSIDE.replace("END", "<|end|>"), "<|end|>", ""),
    ],
)
def test_the_end_of_a_turn_whose_calls_are_closed_in_letters(
    source: str, end: str, last: str, smollm2_renderer: Renderer
) -> None:
    """A token behind the letters that end it, and an end that looks like the closing of a call."""
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    ask = {"role": "user", "content": "ask"}
    turn = {"role": "assistant", "content": "so", "tool_calls": [a_call(1, "put", y=2)]}
    result = {"role": "tool", "content": "found", "tool_call_id": "call00001"}
    done = {"role": "assistant", "content": "done"}
    called = 'so<call>put{"y": 2}</call>'
    for messages, wanted in (
        ([ask, turn], [called]),
        ([ask, done], ["done"]),
        ([ask, turn, result, done], [called, "done"]),
        ([ask, done, ask, turn], ["done", called]),
    ):
        draft = renderer.draft(messages)
        own = [each for each in draft.turns if each.role == "assistant"]
        shown = [draft.text[each.own_start : each.content_end] for each in own]
        assert shown == [*(each + end for each in wanted[:-1]), wanted[-1] + end + last]
        assert all(each.end == each.content_end for each in own)
        for each in (call for turn in own for call in turn.calls):
            assert draft.text[each.start : each.end] == called[2:]


def test_the_opening_of_calls_stands_around_an_empty_content(smollm2_renderer: Renderer) -> None:
    """As Llama 4 in transformers prints it: what begins a turn of calls begins the first call."""
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.tool_calls %}<|calls|>{{ m.content }}"
        "<|called|>{% for c in m.tool_calls %}{{ c.function.name }}"
        "{{ c.function.arguments | tojson }}{% endfor %}{% else %}{{ m.content }}{% endif %}<|end|>"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    ask = {"role": "user", "content": "ask"}
    for said, opening in (("", "<|calls|><|called|>"), ("so", "<|called|>")):
        turn = {"role": "assistant", "content": said, "tool_calls": [a_call(1, "put", y=2)]}
        draft = renderer.draft([ask, turn])
        (call,) = draft.turns[1].calls
        assert draft.text[call.start : call.end] == f'{opening}put{{"y": 2}}'


def test_an_answer_behind_an_answer_ends_with_what_the_next_one_begins_with(
    smollm2_renderer: Renderer,
) -> None:
    """As Jamba: the end of a turn is printed for the next message, whoever says that."""
    source = (
        "{% for m in messages %}{% if not loop.first %}<|end|>{% endif %}"
        "<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}<|call|>"
        "{{ c.function.name }}{{ c.function.arguments | tojson }}<|done|>{% endfor %}{% endfor %}"
        "<|end|>{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    ask, done = {"role": "user", "content": "ask"}, {"role": "assistant", "content": "done"}
    turn = {"role": "assistant", "content": "", "tool_calls": [a_call(1, "put", y=2)]}
    draft = renderer.draft([ask, done, turn, done, ask, done])
    own = [each for each in draft.turns if each.role == "assistant"]
    shown = [draft.text[each.content_start : each.content_end] for each in own]
    assert shown == ["done<|end|>", '<|call|>put{"y": 2}<|done|><|end|>', *["done<|end|>"] * 2]
