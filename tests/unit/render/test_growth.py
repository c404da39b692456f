"""What a conversation costs grows with its messages and no faster, whatever the template does.

Bytecodes are counted and not seconds: the count is the same on a busy machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import log2
from types import FrameType
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cbdata.render.renderer import Renderer
from cbdata.render.tokenizer import PlainTokenizer
from tests.unit.render.families import FAMILIES, a_call, a_result, family_renderer

ROUNDS = 10
EXPONENT = 1.05
NO_TEXT_BESIDE_CALLS = {"messages in a turn"}
GOES_THROUGH_ALL_MESSAGES = {"named results"}
"""Templates that go through all messages for each result: what they cost by themselves grows with
the square of the messages.
"""


def conversation(rounds: int, beside: str) -> list[dict[str, Any]]:
    """A question, a call with text ``beside`` it, its result and an answer, as often as asked; all
    texts but that are different.
    """
    messages: list[dict[str, Any]] = []
    for number in range(rounds):
        messages += [
            {"role": "user", "content": f"Question {number:03} <|end|>"},
            {
                "role": "assistant",
                "content": beside,
                "tool_calls": [a_call(number, "look_up", text=f"word {number:03}", count=number)],
            },
            a_result(number, "look_up", f"Result {number:03}"),
            {"role": "assistant", "content": f"Answer {number:03}"},
        ]
    return messages


def bytecodes(work: Callable[[], object]) -> int:
    """How many Python runs for some work."""
    count = 0

    def step(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == "call":
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
        elif event == "opcode":
            count += 1
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def by_itself(source: str) -> Callable[[list[dict[str, Any]]], str]:
    """A template as Jinja renders it, with nothing of this project."""
    template = ImmutableSandboxedEnvironment().from_string(source)

    def render(messages: list[dict[str, Any]]) -> str:
        given = [
            {
                **message,
                "tool_calls": [
                    {"id": call["call_id"], "function": call["function"]}
                    for call in message.get("tool_calls", ())
                ],
            }
            for message in messages
        ]
        return template.render(messages=given, add_generation_prompt=False)

    return render


def exponent(work: Callable[[list[dict[str, Any]]], object], beside: str) -> float:
    """The power of the messages with which the bytecodes grow when they are twice as many."""
    once, twice = (conversation(rounds, beside) for rounds in (ROUNDS, 2 * ROUNDS))
    work(twice)  # so that all that is learnt once is known
    return log2(bytecodes(lambda: work(twice)) / bytecodes(lambda: work(once)))


@pytest.fixture(scope="module")
def base(smollm2_renderer: Renderer) -> PlainTokenizer:
    return smollm2_renderer.tokenizer


@pytest.mark.parametrize("name", FAMILIES)
def test_twice_the_messages_cost_twice_as_much(name: str, base: PlainTokenizer) -> None:
    beside = "" if name in NO_TEXT_BESIDE_CALLS else "Let me see"
    found = exponent(family_renderer(FAMILIES[name], base).draft, beside)
    if name in GOES_THROUGH_ALL_MESSAGES:
        own = exponent(by_itself(FAMILIES[name]), beside)
        assert own > EXPONENT
        assert found <= own
    else:
        assert 0.8 < found <= EXPONENT


@pytest.mark.parametrize("shown", ["m.content.splitlines() | join", "m.content | indent"])
def test_twice_the_lines_cost_twice_as_much(shown: str, base: PlainTokenizer) -> None:
    """Each line of the text has stretches of its own, for some of its letters were replaced."""
    loop = "{% for m in messages %}<|{{ m.role }}|>{% set s = m.content | replace(' ', '_') %}"
    source = f"{loop}{{{{ {shown.replace('m.content', 's')} }}}}<|end|>{{% endfor %}}"
    renderer = family_renderer(source, base)

    def cost(lines: int) -> int:
        text = "one two\n" * lines + "end"
        return bytecodes(
            lambda: renderer.template.render([{"role": "user", "content": text}], None)
        )

    assert log2(cost(200) / cost(100)) <= EXPONENT


def test_a_cost_that_grows_with_the_square_is_seen() -> None:
    assert exponent(lambda messages: [a is b for a in messages for b in messages], "") > 1.9


def test_a_template_that_counts_is_not_asked_for_each_number(base: PlainTokenizer) -> None:
    """Cohere's number the calls of a conversation before they name them."""
    source = (
        "{% set ns = namespace(n=10) %}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
        "{% for c in m.tool_calls or [] %}<|call|>{{ ns.n }}: {{ c.function.name }}"
        "{{ c.function.arguments | tojson }}<|done|>{% set ns.n = ns.n + 1 %}{% endfor %}<|end|>"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )

    def cost(rounds: int) -> int:
        new = family_renderer(source, base)
        return bytecodes(lambda: new.draft(conversation(rounds, "")))

    assert log2(cost(2 * ROUNDS) / cost(ROUNDS)) <= EXPONENT
