"""A call has all of its arguments, whatever they end with, and nothing behind them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cbdata.render.renderer import Renderer
from tests.unit.render.families import a_call, family_renderer

TURN = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}CALLS<|end|>{% endfor %}"
ASK = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
EACH = "{% for c in m.tool_calls or [] %}ONE{% endfor %}"
PAIRS = (
    "{% for k, v in c.function.arguments.items() %}{{ k }}={{ v | tojson }}"
    "{% if not loop.last %}, {% endif %}{% endfor %}"
)
LAST = [
    {"a": "b"},
    {"a": ["b"]},
    {"a": [["b"], "c"]},
    {"a": {"k": ["b", {"c": "d"}]}},
    {"a": ["b", 5]},
    {"a": [], "b": {}},
    {"a": ["b"], "n": 5},
    {"n": True, "a": ["b", None, {}]},
    {"a": ["b)", '"}', "]", "'"]},
]


def _pairs(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in arguments.items())


def _spaced(arguments: dict[str, Any]) -> str:
    return "".join(f" {key}={json.dumps(value)}" for key, value in arguments.items())


def _python(arguments: dict[str, Any]) -> str:
    return "".join(f" {key}={value!s}" for key, value in arguments.items())


@pytest.mark.parametrize("arguments", LAST, ids=json.dumps)
@pytest.mark.parametrize(
    ("calls", "shown"),
    [
        (EACH.replace("ONE", "<|call|>{{ c.function.name }}(" + PAIRS + ")"), "<|call|>look({})"),
        (
            EACH.replace("ONE", "<|call|>{{ c.function.name + '{' }}" + PAIRS + "}<|done|>"),
            "<|call|>look{{{}}}<|done|>",
        ),
        (
            "{% if m.tool_calls %}<|calls|>["
            + EACH.replace("ONE", "{{ c.function.name }}(" + PAIRS + ")SEP")
            + "]{% endif %}",
            "<|calls|>[look({})",
        ),
    ],
)
def test_a_call_ends_behind_its_last_argument(
    calls: str, shown: str, arguments: dict[str, Any], smollm2_renderer: Renderer
) -> None:
    calls = calls.replace("SEP", "{% if not loop.last %}, {% endif %}")
    renderer = family_renderer(TURN.replace("CALLS", calls) + ASK, smollm2_renderer.tokenizer)
    assert last_call(renderer, arguments) == shown.format(_pairs(arguments))


@pytest.mark.parametrize("arguments", LAST, ids=json.dumps)
@pytest.mark.parametrize(("form", "written"), [("tojson", _spaced), ("string", _python)])
def test_a_call_without_a_closing_ends_with_its_turn(
    form: str,
    written: Callable[[dict[str, Any]], str],
    arguments: dict[str, Any],
    smollm2_renderer: Renderer,
) -> None:
    one = (
        "<|call|>{{ c.function.name }}{% for k, v in c.function.arguments.items() %} {{ k }}="
        "{{ v | FORM }}{% endfor %}"
    ).replace("FORM", form)
    source = TURN.replace("CALLS", EACH.replace("ONE", one)) + ASK
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    assert last_call(renderer, arguments) == f"<|call|>look{written(arguments)}"


@pytest.mark.parametrize("content", ["", "I look.", 'I say </answer> and "}'])
@pytest.mark.parametrize(
    ("shown", "calls"),
    [
        ("{{ {'text': m.content} | tojson }}", "ONE"),
        ("<answer>{{ m.content }}\n</answer>", "<|calls|>ONE<|called|>"),
        ("<|text|>{{ m.content }}<|text_end|>", "ONE"),
        ("<|text|>{{ m.content | trim }}<|text_end|>", "<|calls|>ONE"),
    ],
)
def test_what_closes_a_content_is_no_call_s(
    shown: str, calls: str, content: str, smollm2_renderer: Renderer
) -> None:
    one = "<|call|>{{ c.function.name }}{{ c.function.arguments | tojson }}<|done|>"
    each = calls.replace("ONE", EACH.replace("ONE", one))
    source = TURN.replace(
        "{{ m.content }}CALLS", f"{shown}{{% if m.tool_calls %}}{each}{{% endif %}}"
    )
    renderer = family_renderer(source + ASK, smollm2_renderer.tokenizer)
    turn = {"role": "assistant", "content": content, "tool_calls": [a_call(1, "look", x=1)]}
    draft = renderer.draft([{"role": "user", "content": "ask"}, turn])
    (span,) = draft.turns[1].calls
    opening = calls.partition("ONE")[0]
    assert draft.text[span.start : span.end] == f'{opening}<|call|>look{{"x": 1}}<|done|>'
    assert draft.turns[1].content_start <= span.start


@pytest.mark.parametrize("content", ["", "I look."])
def test_a_header_for_which_no_template_asks_is_no_call_s(
    content: str, smollm2_renderer: Renderer
) -> None:
    one = "<|call|>{{ c.function.name }}{{ c.function.arguments | tojson }}<|done|>"
    source = TURN.replace("CALLS", EACH.replace("ONE", one))
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    turn = {"role": "assistant", "content": content, "tool_calls": [a_call(1, "look", x=1)]}
    draft = renderer.draft([{"role": "user", "content": "ask"}, turn])
    (span,) = draft.turns[1].calls
    assert draft.text[span.start : span.end] == '<|call|>look{"x": 1}<|done|>'


def last_call(renderer: Renderer, arguments: dict[str, Any]) -> str:
    """The call with these arguments, alone and behind one with others, which must be the same."""
    found = set()
    call = a_call(1, "look", **arguments)
    for calls in ([call], [a_call(2, "put", y=["z"]), {**call, "call_id": "call00003"}]):
        turn = {"role": "assistant", "content": "", "tool_calls": calls}
        draft = renderer.draft([{"role": "user", "content": "ask"}, turn])
        span = draft.turns[1].calls[-1]
        found.add(draft.text[span.start : span.end].replace("<|calls|>[", ""))
        if len(calls) == 1:
            alone = draft.text[span.start : span.end]
    assert len(found) == 1
    return alone


def test_what_ends_an_answer_behind_its_content_closes_none_before_calls(
    smollm2_renderer: Renderer,
) -> None:
    """As Kimi K3: the content's own closing stands before calls, the message's does not."""
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}<say>{{ m.content }}"
        "</say>{% if m.tool_calls %}<|calls|>" + EACH.replace("ONE", "{{ c.function | tojson }}")
        + "<|called|>{% endif %}</answer>{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}"
        + ASK
    )  # fmt: skip
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    for said in ("", "so"):
        turn = {"role": "assistant", "content": said, "tool_calls": [a_call(1, "put", y=2)]}
        draft = renderer.draft([{"role": "user", "content": "ask"}, turn])
        (call,) = draft.turns[1].calls
        whole = '<|calls|>{"name": "put", "arguments": {"y": 2}}'
        assert draft.text[call.start : call.end].startswith(whole)


def test_a_template_may_quote_the_question_beside_calls(smollm2_renderer: Renderer) -> None:
    source = (
        "{% for m in messages %}<|{{ m.role }}|><say>{{ m.content }}</say>{% if m.tool_calls %}"
        "(for: {{ loop.previtem.content }})"
        + EACH.replace("ONE", "<|call|>{{ c.function | tojson }}<|done|>")
        + "{% endif %}<|end|>{% endfor %}"
        + ASK
    )
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    ask, done = {"role": "user", "content": "ask"}, {"role": "assistant", "content": "done"}
    assert len(renderer.draft([ask, done]).turns) == 2


@pytest.mark.parametrize("thinking", ["", "hm"])
def test_an_empty_content_behind_an_opening_does_not_cut_it_off(
    thinking: str, smollm2_renderer: Renderer
) -> None:
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.reasoning_content %}<think>"
        "{{ m.reasoning_content }}</think>{% endif %}{% if m.tool_calls %}<|calls|>{% endif %}"
        "{{ m.content }}"
        + EACH.replace("ONE", "<|call|>{{ c.function | tojson }}<|done|>")
        + "<|end|>{% endfor %}"
        + ASK
    )
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    turn: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [a_call(1, "put")]}
    if thinking:
        turn["thinking"] = thinking
    draft = renderer.draft([{"role": "user", "content": "ask"}, turn])
    (call,) = draft.turns[1].calls
    assert draft.text[call.start : call.end].startswith("<|calls|><|call|>")
