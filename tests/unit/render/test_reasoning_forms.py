"""Reasoning is handed over in the form that a template prints, and its place is known there."""

from __future__ import annotations

import pytest

from cbdata.rejects import Reject
from cbdata.render.reasoning_forms import FIELDS, FORMS
from cbdata.render.renderer import Renderer
from tests.unit.render.families import ASK, CALL, CLOSE, LOOP, a_call, a_result, family_renderer

CALLS = "{% for c in m.tool_calls or [] %}<|call|>{{ " + CALL + " }}<|done|>{% endfor %}<|end|>"
THINK = "{{ '<think>' + %s + '</think>' }}"


def in_field(*keys: str) -> str:
    """A template that prints the first of some fields that a message has."""
    value = "(" + " or ".join(f"m.get('{key}')" for key in keys) + ")"
    said = f"<|assistant|>{{% if {value} %}}{THINK % value}{{% endif %}}{{{{ m.content }}}}"
    return LOOP + "{% else %}" + said + CALLS + CLOSE + ASK


def in_block(value: str) -> str:
    """A template that prints blocks where a content is a list."""
    said = (
        "<|assistant|>{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for b in m.content %}{% if b.type == 'thinking' %}" + THINK % value + "{% else %}"
        "{{ b.text }}{% endif %}{% endfor %}{% endif %}"
    )
    return LOOP + "{% else %}" + said + CALLS + CLOSE + ASK


IN_MAPPING = (
    "{% set ns = namespace(form='') %}"
    + LOOP
    + "{% else %}<|assistant|>{% set form = 'text' if m.content is string else 'blocks' %}"
    "{% if ns.form and ns.form != form %}{{ raise_exception('expected ' + ns.form) }}{% endif %}"
    "{% set ns.form = form %}{% if m.content is string %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<|call|>{{ " + CALL + " }}<|done|>{% endfor %}{% else %}"
    "{% for b in m.content.blocks %}{% if b.type == 'thoughts' %}<think>{{ b.text }}</think>"
    "{% elif b.type == 'response' %}{{ b.text }}{% else %}{% for c in b.calls %}"
    "<|call|>{{ "
    + CALL.replace("c.function.name", "c.name").replace(
        "c.function.arguments | tojson", "c.arguments"
    )
    + " }}<|done|>"
    "{% endfor %}{% endif %}{% endfor %}{% endif %}<|end|>" + CLOSE + ASK
)
"""Answers are texts alone, or mappings alone."""
TEMPLATES = {
    "fields": in_field("reasoning_content"),
    "reasoning": in_field("reasoning"),
    "thought": in_field("thought"),
    "block": in_block("b['thinking']"),
    "nested block": in_block("b.thinking | map(attribute='text') | join('')"),
    "mapping": IN_MAPPING,
}
MESSAGES = [
    {"role": "user", "content": "what is up"},
    {
        "role": "assistant",
        "content": "",
        "thinking": "look first\nthen tell",
        "tool_calls": [a_call(0, "look", word="sky")],
    },
    a_result(0, "look", "blue"),
    {"role": "assistant", "content": "so far", "tool_calls": [a_call(1, "look", word="sea")]},
    a_result(1, "look", "grey"),
    {"role": "assistant", "content": "blue and grey", "thinking": "two words"},
]


def test_every_form_is_tried() -> None:
    assert [*TEMPLATES] == [*FORMS]


@pytest.mark.parametrize("form", TEMPLATES)
def test_reasoning_is_printed_and_placed(form: str, smollm2_renderer: Renderer) -> None:
    renderer = family_renderer(TEMPLATES[form], smollm2_renderer.tokenizer)
    assert renderer.template.facts.reasoning == form
    draft = renderer.draft(MESSAGES)
    text = draft.text
    wanted = {1: "<think>look first\nthen tell</think>", 5: "<think>two words</think>"}
    found = {turn.index: text[low:high] for turn in draft.turns for low, high in turn.thinking}
    assert found == wanted
    contents = {
        turn.index: "".join(text[part.start : part.end] for part in turn.pieces)
        for turn in draft.turns
    }
    assert contents == {index: message["content"] for index, message in enumerate(MESSAGES)}
    assert text[draft.turns[5].content_start :].startswith("blue and grey")


def test_answers_that_are_all_mappings_are_those_that_are_all_texts(
    smollm2_renderer: Renderer,
) -> None:
    """The same calls and texts in both, reasoning aside."""
    renderer = family_renderer(IN_MAPPING, smollm2_renderer.tokenizer)
    plain = [{**each, "thinking": ""} for each in MESSAGES]
    drafts = [renderer.draft(messages) for messages in (plain, MESSAGES)]
    said = [
        [
            (turn.index, draft.text[turn.content_start : turn.content_end], len(turn.calls))
            for turn in draft.turns
        ]
        for draft in drafts
    ]
    assert said[0] == said[1]
    shown = '<|call|>{"name": "look", "arguments": {"word": "sea"}}<|done|>'
    assert said[1][3] == (3, f"so far{shown}<|end|>", 1)


def test_a_template_that_takes_the_usual_field_too_is_given_that_alone(
    smollm2_renderer: Renderer,
) -> None:
    """It may print both."""
    source = in_field("reasoning", "reasoning_content")
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    assert renderer.template.facts.reasoning == FIELDS


@pytest.mark.parametrize("word", ["thinking", "thoughts"])
@pytest.mark.parametrize("shown", ["m.content", "m.content | tojson", "m.content ~ ''"])
def test_blocks_that_are_written_out_are_no_form(
    shown: str, word: str, smollm2_renderer: Renderer
) -> None:
    """The template speaks of thinking, and prints whatever a content is."""
    source = (
        f"{{# {word} #}}{{% for m in messages %}}<|{{{{ m.role }}}}|>{{{{ " + shown + " }}" + CALLS
    ) + "{% endfor %}"
    renderer = family_renderer(source + ASK, smollm2_renderer.tokenizer)
    assert renderer.template.facts.reasoning == FIELDS
    with pytest.raises(Reject, match="look first") as refused:
        renderer.draft(MESSAGES)
    assert refused.value.reason == "thinking_dropped"


def test_blocks_stand_beside_the_tools_that_the_renderer_shows(smollm2_renderer: Renderer) -> None:
    """A template that knows no tools gets a system message more."""
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    source = TEMPLATES["block"].replace("m.tool_calls", "m.nothing")
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    assert not renderer.template.tools_known
    draft = renderer.draft([MESSAGES[0], MESSAGES[5]], [tool])
    (turn,) = [turn for turn in draft.turns if turn.role == "assistant"]
    assert [draft.text[low:high] for low, high in turn.thinking] == ["<think>two words</think>"]
