"""At which tokens a model stops, and the headers that it writes itself where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.render.renderer import Renderer
from tests.unit.render.families import ASK, a_call, a_result, family_renderer

OTHER = "<\uff5cbar\uff5c>"  # what a base model's tokenizer calls its end of sequence
LAST, NEXT = "<|return|>", "<|closed|>"
TURNS = (
    "{% for m in messages %}{% if m.thinking %}<|{{ m.role }}|><think>{{ m.thinking }}THOUGHT"
    "{% endif %}{% if m.content or not m.tool_calls %}<|{{ m.role }}|>{{ m.content }}END{% endif %}"
    "{% if m.tool_calls %}<|assistant|><|calls|>"
    "{% for c in m.tool_calls %}<|call|>{{ c.function | tojson }}<|done|>{% endfor %}CALLED"
    "{% endif %}{% endfor %}" + ASK
)
CHATML = {"THOUGHT": "</think><|end|>", "END": "<|end|>", "CALLED": "<|end|>"}
AT_THE_VERY_END = {**CHATML, "END": "<|end|>{{ '\n" + LAST + "' if loop.last else '' }}"}
HARMONY = {
    "THOUGHT": "<|end|>",
    "END": "{{ '" + LAST + "' if loop.last and m.role == 'assistant' else '<|end|>' }}",
    "CALLED": NEXT,
}
SOLAR = {"THOUGHT": "<|end|>", "END": "<|end|>", "CALLED": NEXT}
LLAMA = {"THOUGHT": "</think>", "END": "<|end|>", "CALLED": NEXT}
PENDING = {
    "THOUGHT": "</think>",
    "END": "{{ '<|end|>' if not loop.last else '' }}",
    "CALLED": "<|end|>",
}


@pytest.fixture
def base(smollm2_renderer: Renderer) -> Any:
    return smollm2_renderer.tokenizer


def renderer_of(ends: dict[str, str], base: Any, eos: str = OTHER) -> Renderer:
    source = TURNS
    for name, end in ends.items():
        source = source.replace(name, end)
    return family_renderer(source, base, eos, [LAST, NEXT])


MESSAGES = [
    {"role": "user", "content": "ask"},
    {"role": "assistant", "content": "so", "tool_calls": [a_call(0, "look", x=1)]},
    a_result(0, "look", "found"),
    {"role": "assistant", "content": "done"},
]


@pytest.mark.parametrize(
    ("ends", "stops"),
    [
        (CHATML, {"<|end|>"}),
        (AT_THE_VERY_END, {"<|end|>", LAST}),
        (LLAMA, {"<|end|>"}),
        (PENDING, {"<|end|>"}),
        (HARMONY, {LAST}),
        (SOLAR, set()),
    ],
)
def test_stops(ends: dict[str, str], stops: set[str], base: Any) -> None:
    """What ends the last answer of all, and the end of sequence; but not what the model writes
    between its reasoning and its answer, where its calls end otherwise.
    """
    renderer = renderer_of(ends, base)
    assert renderer.landmarks.stops == stops | {OTHER}
    turns = [turn for turn in renderer.draft(MESSAGES).turns if turn.index == 1]
    assert len(turns) == (2 if "<|end|>" in stops else 1)
    text = renderer.draft(MESSAGES).text
    headers = [text[turn.own_start : turn.content_end].count("<|assistant|>") for turn in turns]
    assert headers == ([0, 0] if "<|end|>" in stops else [1])


EACH = (
    "{% for m in messages %}{% if m.content or not m.tool_calls %}<|{{ m.role }}|>{{ m.content }}"
    "<|end|>{% endif %}{% for c in m.tool_calls or [] %}<|assistant|><|call|>"
    "{{ c.function | tojson }}CALLED{% endfor %}{% endfor %}" + ASK
)


@pytest.mark.parametrize(
    ("called", "own"),
    [
        (NEXT, [NEXT, NEXT]),  # it ends no answer, and every turn of calls (Llama's <|eom_id|>)
        ("<|end|>", ["<|end|>", "<|end|>"]),
        ("</tool_call><|end|>", ["</tool_call><|end|>", "</tool_call><|end|>"]),
        ("</tool_call>", None),  # the call's own markup, which ends no turn
    ],
)
def test_what_ends_a_turn_of_calls(called: str, own: list[str] | None, base: Any) -> None:
    source = EACH.replace("CALLED", called)
    renderer = family_renderer(source, base, OTHER, [NEXT, "</tool_call>"])
    calls = [a_call(0, "look", x=1), a_call(1, "put", y=2)]
    messages = [MESSAGES[0], {"role": "assistant", "content": "", "tool_calls": calls}]
    draft = renderer.draft(messages)
    turns = [turn for turn in draft.turns if turn.index == 1]
    shown = [draft.text[turn.own_start : turn.content_end] for turn in turns]
    if own is None:
        assert len(turns) == 1 and shown[0].count("<|assistant|>") == 1
        return
    written = ['{"name": "look", "arguments": {"x": 1}}', '{"name": "put", "arguments": {"y": 2}}']
    assert shown == [f"<|call|>{call}{end}" for call, end in zip(written, own, strict=True)]
    end = called.removeprefix("</tool_call>")
    assert [draft.text[slice(*turn.stop)] if turn.stop else "" for turn in turns] == [end, end]


def test_the_end_of_sequence_is_a_stop_whatever_stands_between(base: Any) -> None:
    assert renderer_of(SOLAR, base, "<|end|>").landmarks.stops == {"<|end|>"}


@pytest.mark.parametrize(
    ("asked", "head"),
    [
        ("<|assistant|>", "<|assistant|>"),
        ("{{ '\n' }}<|assistant|><think>", "<|assistant|>"),
        ("assistant<|call|>", "assistant"),
        ("### assistant: ", "### assistant:"),
        ("[role]bot[/role]{{ '\n' }}think", "[role]bot[/role]"),
        ("", ""),
    ],
)
def test_what_headers_begin_with(asked: str, head: str, base: Any) -> None:
    source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    renderer = family_renderer(
        source + "{% if add_generation_prompt %}" + asked + "{% endif %}", base
    )
    assert renderer.landmarks.head == head
