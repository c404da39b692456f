"""Turns that a template prints in two places, or ends in an unusual way."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.render.draft import Draft
from cbdata.render.record import spans_of
from cbdata.render.renderer import Renderer
from tests.unit.render.families import ASK, a_call, a_result, family_renderer

CALLS = "{% for c in m.tool_calls or [] %}<|call|>{{ c.function | tojson }}<|done|>{% endfor %}"
RESULTS_FIRST = (
    "{% for m in messages %}{% set at = loop.index0 %}{% if m.role != 'tool' %}"
    "{% if m.role != 'assistant' or messages[at - 1].role != 'tool' %}<|{{ m.role }}|>{% endif %}"
    + CALLS
    + "{% if m.tool_calls %}{% set seen = namespace(on=true) %}{% for r in messages[at + 1:] %}"
    "{% if r.role != 'tool' %}{% set seen.on = false %}{% endif %}{% if seen.on %}<|tool|>"
    "{{ r.content }}<|called|>{% endif %}{% endfor %}{% endif %}{{ m.content }}"
    "{% if not m.tool_calls %}<|end|>{% endif %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt and messages[-1].role != 'tool' %}<|assistant|>{% endif %}"
)
TWO_TURNS = (
    "{% for m in messages %}{% if m.role == 'assistant' and m.tool_calls %}<|assistant|>"
    + CALLS
    + "<|end|>{% endif %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    + ASK
)
IN_LETTERS = (
    "{% for m in messages %}{% if m.role == 'tool' %}<|tool|>{{ m.content }}"
    "{% else %}[{{ m.role }}]{{ m.content }}" + CALLS + "[/{{ m.role }}]{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def conversation(said: str) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": "ask"},
        {"role": "assistant", "content": said, "tool_calls": [a_call(0, "look", x=1)]},
        a_result(0, "look", "found"),
        {"role": "assistant", "content": "answer"},
    ]


def own(draft: Draft) -> list[tuple[int, str]]:
    """What each turn of the assistant has of its own, in the order of the text."""
    return [
        (turn.index, draft.text[turn.own_start : turn.content_end])
        for turn in draft.turns
        if turn.role == "assistant"
    ]


@pytest.fixture
def base(smollm2_renderer: Renderer) -> Any:
    return smollm2_renderer.tokenizer


CALL = '<|call|>{"name": "look", "arguments": {"x": 1}}<|done|>'


def test_text_behind_the_results_of_its_calls_is_a_turn_of_its_own(base: Any) -> None:
    renderer = family_renderer(RESULTS_FIRST, base)
    rendered = renderer.render(conversation("say so "))
    assert own(rendered.draft) == [(1, CALL + "<|tool|>"), (1, "say so "), (3, "answer<|end|>")]
    spans = spans_of(rendered.draft.turns, rendered.tokens)
    assert [span["message_index"] for span in spans["message_spans"]] == [0, 1, 2, 1, 3]
    assert "".join(
        rendered.draft.text[each.start : each.end] for each in rendered.draft.stretches
    ) == (rendered.draft.text)
    assert own(renderer.draft(conversation(""))) == [(1, CALL + "<|tool|>"), (3, "answer<|end|>")]


def test_text_that_is_printed_before_and_behind_is_rejected(base: Any) -> None:
    source = RESULTS_FIRST.replace(
        "{% if m.role != 'assistant' or", "{{ m.content }}{% if m.role != 'assistant' or"
    )
    with pytest.raises(Reject, match="message_rendered_twice"):
        family_renderer(source, base).draft(conversation("say so"))


def test_text_behind_an_end_and_a_header_is_a_turn_of_its_own(base: Any) -> None:
    renderer = family_renderer(TWO_TURNS, base)
    assert own(renderer.draft(conversation("say so"))) == [
        (1, CALL + "<|end|>"),
        (1, "say so<|end|>"),
        (3, "answer<|end|>"),
    ]


def test_an_empty_answer_that_the_template_adds_is_not_the_models(base: Any) -> None:
    renderer = family_renderer(TWO_TURNS, base)
    assert own(renderer.draft(conversation(""))) == [(1, CALL + "<|end|>"), (3, "answer<|end|>")]


def test_an_end_in_letters_is_the_end(base: Any) -> None:
    """The control token with which a result begins is not what the model stops with."""
    draft = family_renderer(IN_LETTERS, base).draft(conversation("say so"))
    assert own(draft) == [(1, f"say so{CALL}[/assistant]"), (3, "answer[/assistant]")]


def test_whatever_opens_reasoning_is_the_models(base: Any) -> None:
    source = (
        "{% for m in messages %}<|{{ m.role }}|>"
        "{% if m.thinking %} to self:{{ m.thinking }}<|done|>{% endif %}"
        "{{ m.content }}<|end|>{% endfor %}" + ASK
    )
    messages = [
        {"role": "user", "content": "ask"},
        {"role": "assistant", "content": "answer", "thinking": "hm"},
    ]
    draft = family_renderer(source, base).draft(messages)
    ((start, end),) = draft.turns[1].thinking
    assert draft.text[start:end] == "to self:hm"
    assert draft.text[draft.turns[1].content_start : draft.turns[1].content_end] == (
        "<|done|>answer<|end|>"
    )


def owned(draft: Draft) -> list[str]:
    """What each answer's own text is."""
    return [
        draft.text[turn.own_start : turn.content_end]
        for turn in draft.turns
        if turn.role == "assistant"
    ]


def test_a_message_of_which_nothing_is_printed_takes_nothing_of_another(
    smollm2_renderer: Renderer,
) -> None:
    """As Phi-3: it stands behind all of the message before, and not behind its last own letter."""
    source = (
        "{% for m in messages %}{% if m.content or m.tool_calls %}<|{{ m.role }}|>{{ m.content }}"
        + CALLS
        + "<|end|>{% endif %}{% endfor %}"
        + ASK
    )
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    call = {"role": "assistant", "content": "", "tool_calls": [a_call(1, "put", y="z", n=3)]}
    ask, done = {"role": "user", "content": "ask"}, {"role": "assistant", "content": "done"}
    whole = '<|call|>{"name": "put", "arguments": {"y": "z", "n": 3}}<|done|><|end|>'
    draft = renderer.draft([ask, call, a_result(1, "put", ""), done, {**ask, "content": ""}, done])
    assert owned(draft) == [whole, "done<|end|>", "done<|end|>"]
    assert owned(renderer.draft([ask, done, ask, {**done, "content": ""}])) == ["done<|end|>", ""]


@pytest.mark.parametrize("said", ["Say one.", "\nSay one.", " Say one.\n", "", "\n"])
@pytest.mark.parametrize("text", ["{{ m.content }}", " {{ m.content }}", "{{ m.content }} "])
def test_a_captured_text_that_is_trimmed_keeps_its_turn(
    text: str, said: str, smollm2_renderer: Renderer
) -> None:
    """The marks of a visit are cut off together or not at all."""
    source = (
        "{% for m in messages %}{% set c %}" + text + "{% endset %}<|{{ m.role }}|>"
        "{{ c | trim }}</turn><|end|>{% endfor %}" + ASK
    )
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    ask, done = {"role": "user", "content": "ask"}, {"role": "assistant", "content": "done"}
    draft = renderer.draft([ask, {**done, "content": said}, ask, done])
    assert owned(draft) == [f"{said.strip()}</turn><|end|>", "done</turn><|end|>"]


def test_an_end_that_is_printed_when_the_next_turn_is_asked_for(smollm2_renderer: Renderer) -> None:
    source = (
        "{% for m in messages %}{% if not loop.first %}<|end|>\n{% endif %}<|{{ m.role }}|>"
        "{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|end|>\n<|assistant|>{% endif %}"
    )
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    ask, done = {"role": "user", "content": "ask"}, {"role": "assistant", "content": "done"}
    assert owned(renderer.draft([ask, done, ask, done])) == ["done<|end|>", "done"]
