"""Reasoning and its weight, windows, the first action, and turns with a weight of their own: the
expected tokens spelled out.
"""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.lossmask.masks import SpanError, factors_of, make_mask
from cbdata.lossmask.policies import Layer, layer_spans
from cbdata.lossmask.registry import Registry
from tests.conversations import Call, Injection, Thinking, Turn, build_render

CALL = Call("send", ["<call>"], ["send", "_money"], ["(42)", "</call>"])
SECOND = Call("read", ["<call>"], ["read"], ["()", "</call>"])
THOUGHT = Thinking(["<think>", "hm", "</think>"])


def turns() -> list[Turn]:
    """Reasoning before text and two calls, after an earlier turn that reasons as well."""
    return [
        Turn("user", ["<user>"], ["Pay", Injection(["NOW"]), "<end>"], ["↵"]),
        Turn("assistant", ["<asst>"], [Thinking(["<think>", "eh", "</think>"]), SECOND, "<end>"]),
        Turn("tool", ["<tool>"], ["ok", "<end>"]),
        Turn("assistant", ["<asst>"], [THOUGHT, "I", "will", CALL, SECOND, "<end>"], ["↵"]),
    ]


def shown(
    registry: Registry,
    policy: str,
    params: dict[str, Any] | None = None,
    *,
    of: list[Turn] | None = None,
    thinking_weight: float = 1.0,
    losses: dict[int, float] | None = None,
) -> str:
    render, tokens = build_render(of or turns())
    factors = factors_of(render, thinking_weight, losses)
    weights = make_mask(render, registry.bind(policy, params).layers, factors).weights()
    return " ".join(
        token if weight == 1 else f"{token}*{weight}"
        for token, weight in zip(tokens, weights, strict=True)
        if weight
    )


EARLIER = "<think> eh </think> <call> read () </call> <end>"
SAID = "I will <call> send _money (42) </call> <call> read () </call> <end>"


@pytest.mark.parametrize(
    ("weight", "first", "second"),
    [
        (1.0, "<think> eh </think> ", "<think> hm </think> "),
        (0.5, "<think>*0.5 eh*0.5 </think>*0.5 ", "<think>*0.5 hm*0.5 </think>*0.5 "),
        (0.0, "", ""),
    ],
)
def test_reasoning_counts_as_thinking_weight_says(
    registry: Registry, weight: float, first: str, second: str
) -> None:
    calls = "<call> read () </call> <end>"
    for policy, expected in (
        ("assistant_only", f"{first}{calls} {second}{SAID}"),
        ("completion_only", f"{second}{SAID}"),
        ("first_action", f"{second}I will <call> send _money (42) </call>"),
        ("injection_aware", f"NOW*0.5 {first}{calls} {second}{SAID}"),
        (
            "tool_calls_only",
            "<call> read () </call> <call> send _money (42) </call> <call> read () </call>",
        ),
    ):
        assert shown(registry, policy, thinking_weight=weight) == expected


def test_a_weight_of_reasoning_multiplies_the_policy_s_own(registry: Registry) -> None:
    of = [Turn("assistant", ["<asst>"], [THOUGHT, "yes"])]
    params = {"roles": {"assistant": 0.5}}
    assert (
        shown(registry, "custom", params, of=of, thinking_weight=0.5)
        == "<think>*0.25 hm*0.25 </think>*0.25 yes*0.5"
    )


def test_without_reasoning_its_weight_changes_nothing(registry: Registry) -> None:
    of = [Turn("user", ["<user>"], ["hi"]), Turn("assistant", ["<asst>"], ["yes", "<end>"])]
    for policy in registry.ids:
        params = {"roles": ["assistant"]} if policy == "custom" else None
        plain = shown(registry, policy, params, of=of)
        assert shown(registry, policy, params, of=of, thinking_weight=0.0) == plain


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, SAID),  # the answer behind its reasoning has 12 tokens
        ({"window": 1}, "I"),
        ({"window": 3}, "I will <call>"),
        ({"window": 12}, SAID),
        ({"window": 4, "after_thinking": False}, "<think> hm </think> I"),
        ({"after_thinking": False}, f"<think> hm </think> {SAID}"),
    ],
)
def test_the_window_takes_the_first_tokens_of_the_answer(
    registry: Registry, params: dict[str, Any], expected: str
) -> None:
    assert shown(registry, "completion_window", params) == expected


def test_the_window_is_fifteen_tokens(registry: Registry) -> None:
    words = [f"w{number}" for number in range(20)]
    of = [Turn("assistant", ["<asst>"], [THOUGHT, *words])]
    assert shown(registry, "completion_window", of=of).split() == words[:15]
    assert registry.bind("completion_window", {"window": 3}).params == {
        "window": 3,
        "after_thinking": True,
    }


def test_an_answer_that_ends_in_its_reasoning_has_no_window(registry: Registry) -> None:
    of = [
        Turn("user", ["<user>"], ["hi"]),
        Turn("assistant", ["<asst>"], [Thinking(["<think>", "h"])]),
    ]
    assert shown(registry, "completion_window", of=of) == ""
    assert shown(registry, "completion_window", {"after_thinking": False}, of=of) == "<think> h"


def test_text_before_the_reasoning_is_not_behind_it(registry: Registry) -> None:
    later = Thinking(["<think>", "b", "</think>"])
    of = [Turn("assistant", ["<asst>"], ["so", THOUGHT, "a", later, "c"])]
    assert shown(registry, "completion_window", of=of) == "a <think> b </think> c"
    assert shown(registry, "completion_window", of=of, thinking_weight=0) == "a c"


def test_the_window_of_an_answer_that_was_cut_off(registry: Registry) -> None:
    render, tokens = build_render(turns()[:2], truncated=True)
    render["prompt"]["length"] = len(tokens)  # the last turn would have begun behind the cut
    for policy in ("completion_window", "first_action"):
        assert make_mask(render, registry.bind(policy).layers).trained == 0


def test_the_first_action_ends_with_the_first_call(registry: Registry) -> None:
    assert (
        shown(registry, "first_action")
        == "<think> hm </think> I will <call> send _money (42) </call>"
    )
    # A call of an earlier turn is none of the last one's.
    of = [*turns()[:3], Turn("assistant", ["<asst>"], ["Done", "<end>"])]
    assert shown(registry, "first_action", of=of) == ""


def test_first_counts_in_every_span_and_after_the_injection() -> None:
    render, tokens = build_render(turns())

    def spans(**layer: Any) -> list[list[str]]:
        made = layer_spans(render, Layer("content", 1.0, **layer))
        return [tokens[start:end] for start, end in made]

    roles = frozenset({"user", "tool"})
    assert spans(roles=roles, first=1) == [["Pay"], ["ok"]]
    assert spans(roles=roles, first=1, after_injection=True) == [["<end>"], ["ok"]]
    assert spans(roles=roles, first=9) == [["Pay", "NOW", "<end>"], ["ok", "<end>"]]


def test_reasoning_before_the_content_is_what_the_turn_begins_with() -> None:
    """Renders have it there: the content starts at the first token that is not reasoning."""
    render, tokens = build_render([Turn("assistant", ["<asst>"], [Thinking(["hm"]), "a"])])
    render["alignment"]["message_spans"][0]["content_start"] += 1
    render["alignment"]["assistant_spans"][0]["token_start"] += 1
    for span, expected in (
        ("thinking", ["hm"]),
        ("content", ["hm", "a"]),
        ("completion", ["hm", "a"]),
    ):
        [(start, end)] = layer_spans(render, Layer(span, 1.0))
        assert tokens[start:end] == expected
    [(start, end)] = layer_spans(render, Layer("completion", 1.0, after_thinking=True))
    assert tokens[start:end] == ["a"]


def test_turns_have_weights_of_their_own(registry: Registry) -> None:
    losses = {1: 0.0, 3: 0.5}
    halved = " ".join(f"{token}*0.5" for token in f"<think> hm </think> {SAID}".split())
    assert shown(registry, "assistant_only", losses=losses) == halved
    assert shown(registry, "full_sequence", losses={0: 0.0, 1: 0.0, 3: 0.0}) == (
        "<bos> ↵ <tool> ok <end> ↵"
    )
    both = shown(
        registry,
        "completion_window",
        {"window": 4, "after_thinking": False},
        losses=losses,
        thinking_weight=0.5,
    )
    assert both == "<think>*0.25 hm*0.25 </think>*0.25 I*0.5"


def test_a_reasoning_span_outside_the_sequence_is_an_error(registry: Registry) -> None:
    render, tokens = build_render(turns())
    render["alignment"]["thinking_spans"][1]["token_end"] = len(tokens) + 1
    with pytest.raises(SpanError, match=rf"factor span \[19, {len(tokens) + 1}\) does not fit"):
        make_mask(render, registry.bind("assistant_only").layers, factors_of(render, 0.5))
