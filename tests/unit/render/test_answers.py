"""Where an answer starts, for templates that print before one something else than what they ask
for it with.
"""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.render.draft import Draft
from cbdata.render.renderer import Renderer
from tests.unit.render.families import a_call, a_result, family_renderer

ASK, MORE = ({"role": "user", "content": text} for text in ("ask", "more"))
DONE, LAST = ({"role": "assistant", "content": text} for text in ("done", "last"))
CALL = {"role": "assistant", "content": "", "tool_calls": [a_call(1, "look", x=1)]}
FOUND = a_result(1, "look", "found")

ASKED = "{% if add_generation_prompt %}PROMPT{% endif %}"
CALLS = (
    "{% for c in m.tool_calls or [] %}<|call|>{{ c.function.name }}"
    "{{ c.function.arguments | tojson }}<|done|>{% endfor %}"
)
OTHERS = "{% if m.role != 'assistant' %}<|{{ m.role }}|>{{ m.content }}<|end|>{% else %}"
TURNS = (
    "{% for m in messages %}" + OTHERS + "HEADER{{ m.content }}" + CALLS + "<|end|>"
    "{% endif %}{% endfor %}" + ASKED
)


def own(draft: Draft) -> list[str]:
    """What is the model's own of each answer."""
    return [
        draft.text[turn.own_start : turn.content_end]
        for turn in draft.turns
        if turn.role == "assistant"
    ]


@pytest.mark.parametrize(
    ("header", "prompt", "begins"),
    [
        ("  <|assistant|>    </think> ", "<|assistant|></think>", " "),
        ("<|assistant|></think>", "  <|assistant|>  </think>\n", ""),
        ("<|assistant|>\n<think>\n", "<|assistant|>\n<think>\n\n", ""),
    ],
)
def test_what_asks_for_an_answer_is_printed_with_other_white_space(
    header: str, prompt: str, begins: str, smollm2_renderer: Renderer
) -> None:
    source = TURNS.replace("HEADER", header).replace("PROMPT", prompt)
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    draft = renderer.draft([ASK, CALL, FOUND, DONE, MORE, LAST])
    called = '<|call|>look{"x": 1}<|done|>'
    assert own(draft) == [f"{begins}{text}<|end|>" for text in (called, "done", "last")]
    call = draft.turns[1].calls[0]
    assert draft.text[call.start : call.end] == called


def test_a_header_that_is_not_what_asks_for_an_answer_is_a_reject(
    smollm2_renderer: Renderer,
) -> None:
    """It would be taken for the model's own text."""
    source = TURNS.replace("HEADER", "now <|assistant|>").replace("PROMPT", "then <|assistant|>")
    renderer = family_renderer(source, smollm2_renderer.tokenizer)
    with pytest.raises(Reject, match=r"spans_disagree: message 1: .* asks .* 'then <\|assis"):
        renderer.draft([ASK, DONE])


BETWEEN = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% if loop.first or loop.previtem.role == 'user' %}<|assistant|>{% endif %}"
    "{{ m.content }}" + CALLS + "{% if m.tool_calls %}{{ '\n' }}{% else %}<|end|>{% endif %}"
    "{% elif m.role == 'tool' %}<|tool|>{{ m.content }}{% if not loop.last %}{{ '\n' }}{% endif %}"
    "{% else %}<|user|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt and messages[-1].role == 'user' %}<|assistant|>{% endif %}"
)


def test_white_space_before_an_answer_that_is_printed_for_the_message_before(
    smollm2_renderer: Renderer,
) -> None:
    """The text that asks for the answer does not have it: the model writes it."""
    renderer = family_renderer(BETWEEN, smollm2_renderer.tokenizer)
    messages: list[dict[str, Any]] = [ASK, CALL, FOUND, DONE, MORE, LAST]
    draft = renderer.draft(messages)
    prompt = renderer.prompt_text(messages[:3])
    assert prompt.endswith('<|assistant|><|call|>look{"x": 1}<|done|>\n<|tool|>found')
    assert own(draft)[1:] == ["\ndone<|end|>", "last<|end|>"]
