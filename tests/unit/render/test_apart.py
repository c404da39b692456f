"""Messages that a template prints as several turns, with an end and a header between."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.render.record import spans_of
from cbdata.render.renderer import Renderer
from tests.unit.render.families import a_call, a_result, family_renderer

# Each message in pieces: reasoning, text, calls. JOINT stands between them.
PIECES = (
    "{% for m in messages %}HEAD{% set ns = namespace(on=false) %}"
    "{% if m.thinking %}<think>{{ m.thinking }}</think>{% set ns.on = THOUGHT %}{% endif %}"
    "{% if ns.on and m.content %}JOINT{% endif %}{{ m.content }}"
    "{% set ns.on = ns.on or m.content %}"
    "{% for c in m.tool_calls or [] %}{% if ns.on %}JOINT{% endif %}"
    "<|call|>{{ c.function | tojson }}<|done|>{% set ns.on = EACH %}{% endfor %}END"
    "{% endfor %}{% if add_generation_prompt %}ASKED{% endif %}"
)
MARKED = {"HEAD": "<|{{ m.role }}|>", "END": "<|end|>", "ASKED": "<|assistant|>"}
MARKED["JOINT"] = "<|end|><|assistant|>"
LINES = {"HEAD": "{{ m.role }}<|call|>", "END": "<|end|>{{ '\n\n' }}", "ASKED": "assistant<|call|>"}
LINES["JOINT"] = "<|end|>{{ '\n\n' }}assistant<|call|>"
LETTERS = {"HEAD": "### {{ m.role }}: ", "END": "<|end|>{{ '\n' }}", "ASKED": "### assistant: "}
LETTERS["JOINT"] = "<|end|>{{ '\n' }}### assistant: "
SPELLED = {"HEAD": "### {{ m.role }}: ", "END": " END{{ '\n' }}", "ASKED": "### assistant: "}
SPELLED["JOINT"] = " END{{ '\n' }}### assistant: "
FORMS = {"marked": MARKED, "lines": LINES, "letters": LETTERS, "spelled": SPELLED}
CALLS = [a_call(0, "look", x="p"), a_call(1, "put", y="q"), a_call(2, "look", x="r")]
SHOWN = [
    '<|call|>{"name": "look", "arguments": {"x": "p"}}<|done|>',
    '<|call|>{"name": "put", "arguments": {"y": "q"}}<|done|>',
    '<|call|>{"name": "look", "arguments": {"x": "r"}}<|done|>',
]


def template(form: str, *, each: bool = False, thought: bool = False) -> str:
    """A template that prints every call, or the reasoning, as a turn of its own if asked."""
    source = PIECES.replace("EACH", str(each or "ns.on").lower().replace("ns.on", "false"))
    source = source.replace("THOUGHT", str(thought).lower())
    for name in ("JOINT", "HEAD", "ASKED"):
        source = source.replace(name, FORMS[form][name])
    return source.replace("%}END{%", "%}" + FORMS[form]["END"] + "{%")


def conversation(said: str = "so", thinking: str = "", calls: int = 3) -> list[dict[str, Any]]:
    answer = {"role": "assistant", "content": said, "tool_calls": CALLS[:calls]}
    if thinking:
        answer["thinking"] = thinking
    return [
        {"role": "user", "content": "ask"},
        answer,
        *(a_result(n, CALLS[n]["function"]["name"], f"found {n}") for n in range(calls)),
        {"role": "assistant", "content": "done"},
    ]


def own(renderer: Renderer, messages: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """What each turn of the assistant has of its own; checks that no character is lost."""
    rendered = renderer.render(messages)
    draft = rendered.draft
    assert "".join(draft.text[each.start : each.end] for each in draft.stretches) == draft.text
    spans = spans_of(draft.turns, rendered.tokens)["message_spans"]
    assert all(left["token_end"] <= right["token_start"] for left, right in pairwise(spans))
    return [
        (turn.index, draft.text[turn.own_start : turn.content_end])
        for turn in draft.turns
        if turn.role == "assistant"
    ]


@pytest.fixture
def base(smollm2_renderer: Renderer) -> Any:
    return smollm2_renderer.tokenizer


@pytest.mark.parametrize("eos", ["<|end|>", "<\uff5cbar\uff5c>"])
@pytest.mark.parametrize("form", FORMS)
def test_calls_behind_the_end_of_their_text(form: str, eos: str, base: Any) -> None:
    """Whether the tokenizer calls the end its end of sequence or, as base models', another one."""
    renderer = family_renderer(template(form), base, eos)
    end = " END" if form == "spelled" else "<|end|>"
    assert own(renderer, conversation()) == [
        (1, "so" + end),
        (1, "".join(SHOWN) + end),
        (5, "done" + end),
    ]
    assert own(renderer, conversation("")) == [(1, "".join(SHOWN) + end), (5, "done" + end)]


@pytest.mark.parametrize("eos", ["<|end|>", "<\uff5cbar\uff5c>"])
@pytest.mark.parametrize("form", FORMS)
def test_every_call_is_a_turn_of_its_own(form: str, eos: str, base: Any) -> None:
    renderer = family_renderer(template(form, each=True), base, eos)
    end = " END" if form == "spelled" else "<|end|>"
    calls = [(1, shown + end) for shown in SHOWN]
    assert own(renderer, conversation()) == [(1, "so" + end), *calls, (5, "done" + end)]
    assert own(renderer, conversation("")) == [*calls, (5, "done" + end)]
    rendered = renderer.render(conversation())
    spans = spans_of(rendered.draft.turns, rendered.tokens)["tool_call_spans"]
    assert [(span["message_index"], span["call_index"]) for span in spans] == [
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    shown = [
        rendered.draft.text[call.start : call.end]
        for turn in rendered.draft.turns
        for call in turn.calls
    ]
    assert shown == SHOWN


def test_reasoning_that_is_a_turn_of_its_own(base: Any) -> None:
    """Only where the model stops at the end for certain."""
    renderer = family_renderer(template("marked", thought=True), base)
    messages = conversation(thinking="hm", calls=1)
    assert own(renderer, messages) == [
        (1, "<think>hm</think><|end|>"),
        (1, "so<|end|>"),
        (1, SHOWN[0] + "<|end|>"),
        (3, "done<|end|>"),
    ]
    turns = renderer.draft(messages).turns
    assert [len(turn.thinking) for turn in turns if turn.index == 1] == [1, 0, 0]


def test_a_call_without_its_name_is_in_no_turn(base: Any) -> None:
    source = template("marked", each=True).replace(
        "{{ c.function | tojson }}",
        "{% if not loop.last %}{{ c.function.name }}{% endif %}{{ c.function.arguments | tojson }}",
    )
    with pytest.raises(Reject, match="call_not_rendered: message 1, call 2"):
        family_renderer(source, base).draft(conversation())


def test_calls_in_another_order_are_a_reject(base: Any) -> None:
    source = template("marked", each=True).replace(
        "in m.tool_calls or []", "in (m.tool_calls or []) | reverse"
    )
    with pytest.raises(Reject, match="calls_overlap: message 1"):
        family_renderer(source, base).draft(conversation())


def test_a_header_with_which_nobody_asks_is_a_reject(base: Any) -> None:
    """Which part of it is the model's cannot be told."""
    form = {**MARKED, "JOINT": "<|end|><|assistant|> to=tool "}
    source = PIECES.replace("EACH", "false").replace("THOUGHT", "false")
    for name in ("JOINT", "HEAD", "ASKED"):
        source = source.replace(name, form[name])
    source = source.replace("%}END{%", "%}<|end|>{%").replace("<|assistant|>{% endif %}", "X")
    source = source.replace("X", "<|assistant|> to=user {% endif %}")
    source = source.replace(
        "<|{{ m.role }}|>", "<|{{ m.role }}|>{% if m.role == 'assistant' %} to=user {% endif %}"
    )
    with pytest.raises(Reject, match=r"spans_disagree: message 1.* does not ask"):
        family_renderer(source, base).draft(conversation())
