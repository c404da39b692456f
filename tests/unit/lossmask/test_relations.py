"""Relations between policies on any conversation, and masks against an oracle that goes token by
token.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.lossmask.masks import IdsText, Mask, factors_of, make_mask
from cbdata.lossmask.policies import PolicyError
from cbdata.lossmask.registry import Registry, load_registry
from tests.conversations import Call, Injection, Thinking, Turn, build_render

REGISTRY = load_registry()
words = st.lists(st.just("w"), max_size=3)
some = st.lists(st.just("w"), min_size=1, max_size=3)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    name = draw(some)
    return Call("tool", draw(words), name, draw(words), settled=draw(st.integers(1, len(name))))


def turns(role: str, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Turn]:
    content = st.lists(st.one_of(st.just("w"), *parts), max_size=5)
    return st.builds(Turn, st.just(role), words, content, words)


injections = st.builds(Injection, some)
conversations = st.tuples(
    st.lists(turns("system"), max_size=1),
    st.lists(
        st.one_of(
            turns("user", st.builds(Injection, some)),
            turns("assistant", calls(), st.builds(Thinking, some)),
            turns("tool", st.builds(Injection, some)),
        ),
        max_size=7,
    ),
).map(lambda parts: parts[0] + parts[1])
renders = st.builds(build_render, conversations, st.sampled_from(["<bos>", None])).map(
    lambda built: built[0]
)


def mask(render: dict[str, Any], policy: str, params: dict[str, Any] | None = None) -> Mask:
    return make_mask(render, REGISTRY.bind(policy, params).layers)


def trained(render: dict[str, Any], policy: str) -> set[int]:
    return {index for index, weight in enumerate(mask(render, policy).weights()) if weight}


WITHIN = [
    ("action_commitment", "action_prefix_only"),
    ("action_prefix_only", "tool_calls_only"),
    ("tool_calls_only", "assistant_only"),
    ("completion_only", "assistant_only"),
    ("assistant_only", "assistant_and_tool"),
    ("assistant_and_tool", "cb_full_sequence"),
    ("cb_full_sequence", "full_sequence"),
    ("post_injection_only", "assistant_only"),
    ("post_injection_tool_calls_only", "tool_calls_only"),
    ("post_injection_tool_calls_only", "post_injection_only"),
    ("post_injection_only", "injection_aware"),
    ("completion_window", "completion_only"),
    ("first_action", "completion_only"),
]


@given(renders)
def test_policies_train_within_others(render: dict[str, Any]) -> None:
    for inner, outer in WITHIN:
        assert trained(render, inner) <= trained(render, outer), (inner, outer)


@given(renders)
def test_cb_full_sequence_is_full_sequence_minus_system_and_bos(render: dict[str, Any]) -> None:
    system = {
        token
        for turn in render["alignment"]["message_spans"]
        if turn["role"] == "system"
        for token in range(turn["token_start"], turn["token_end"])
    }
    bos = {0} if render["special_tokens"]["bos_position"] == 0 else set()
    assert trained(render, "full_sequence") == set(range(render["sequence_length"]))
    assert trained(render, "cb_full_sequence") == trained(render, "full_sequence") - system - bos


@given(renders)
def test_tool_name_weighted_trains_what_tool_calls_only_does(render: dict[str, Any]) -> None:
    assert trained(render, "tool_name_weighted") == trained(render, "tool_calls_only")
    names = {
        token
        for call in render["alignment"]["tool_call_spans"]
        for token in range(call["name_token_start"], call["name_token_end"])
    }
    assert {
        index
        for index, weight in enumerate(mask(render, "tool_name_weighted").weights())
        if weight == 1.0
    } == names


def oracle(render: dict[str, Any], token: int) -> dict[str, float]:
    """The weight of one token by policy, from the words of the data contract, without layers. It
    knows the policies that are there from the start; a new one need not be in it.
    """
    alignment, signals = render["alignment"], render["signals"]
    injections = [
        span for span in signals["injection_spans"] if span["token_start"] < span["token_end"]
    ]
    exposed = bool(injections) and token >= min(span["token_end"] for span in injections)
    inside = lambda row, start, end: row[start] <= token < row[end]  # noqa: E731
    turn = next(
        (row for row in alignment["message_spans"] if inside(row, "token_start", "token_end")), None
    )
    role = turn["role"] if turn else None
    generated = bool(turn) and inside(turn, "content_start", "content_end")
    said = role == "assistant" and generated
    call = next(
        (row for row in alignment["tool_call_spans"] if inside(row, "token_start", "token_end")),
        None,
    )
    named = bool(call) and inside(call, "name_token_start", "name_token_end")
    settled = None
    if call:
        key = (call["message_index"], call["call_index"])
        settled = {
            (c["assistant_message_index"], c["call_index"]): c["commitment_token_idx"]
            for c in signals["action_commitments"]
        }[key]
    last = max((row["message_index"] for row in alignment["assistant_spans"]), default=None)
    injected = any(inside(span, "token_start", "token_end") for span in injections)
    after = said and exposed
    answer = [
        place
        for row in alignment["assistant_spans"]
        if row["message_index"] == last
        for place in range(row["token_start"], row["token_end"])
    ]
    reasoned = [
        row["token_end"]
        for row in alignment.get("thinking_spans", ())
        if row["message_index"] == last
    ]
    window = [place for place in answer if not reasoned or place >= reasoned[0]][:15]
    acted = [
        row["token_end"] for row in alignment["tool_call_spans"] if row["message_index"] == last
    ]
    return {
        "assistant_only": float(said),
        "completion_only": float(said and turn["message_index"] == last),
        "full_sequence": 1.0,
        "cb_full_sequence": float(
            role != "system" and token != render["special_tokens"]["bos_position"]
        ),
        "tool_calls_only": float(bool(call)),
        "action_prefix_only": float(bool(call) and token < call["name_token_end"]),
        "action_commitment": float(bool(call) and token <= settled),
        "assistant_and_tool": float(generated and role in ("assistant", "tool")),
        "post_injection_only": float(after),
        "post_injection_tool_calls_only": float(bool(call) and exposed),
        "tool_name_weighted": 1.0 if named else 0.3 if call else 0.0,
        "injection_aware": 1.0 if after else 0.5 if injected else 0.0,
        "completion_window": float(token in window),
        "first_action": float(bool(acted) and token in answer and token < acted[0]),
        "custom": (
            0.25
            if 1 <= token < 3
            else 1.0
            if said
            else 0.5
            if role == "user" and generated
            else 0.0
        ),
    }


CUSTOM = {
    "roles": {"user": 0.5, "assistant": 1},
    "token_ranges": [{"start": 1, "end": 3, "weight": 0.25}],
}


@given(renders)
def test_masks_equal_the_slow_oracle_and_their_text_the_plain_arrays(
    render: dict[str, Any],
) -> None:
    ids = render["input_ids"]
    texts = IdsText(ids)
    for policy in oracle(render, 0):
        made = mask(render, policy, CUSTOM if policy == "custom" else None)
        weights = [oracle(render, token)[policy] for token in range(render["sequence_length"])]
        labels = [token if weight > 0 else -100 for token, weight in zip(ids, weights, strict=True)]
        assert (made.weights(), made.labels(ids), made.trained) == (
            weights,
            labels,
            sum(weight > 0 for weight in weights),
        ), policy
        assert (made.weights_json(), made.labels_json(texts)) == (
            orjson.dumps(weights),
            orjson.dumps(labels),
        ), policy


weights = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@given(renders, weights, st.lists(weights, min_size=8, max_size=8))
def test_reasoning_and_turns_multiply_what_a_policy_gives(
    render: dict[str, Any], thinking_weight: float, losses: list[float]
) -> None:
    alignment = render["alignment"]
    said = dict(enumerate(losses))
    factors = factors_of(render, thinking_weight, {k: v for k, v in said.items() if v != 1})
    for policy in oracle(render, 0):
        params = CUSTOM if policy == "custom" else None
        made = make_mask(render, REGISTRY.bind(policy, params).layers, factors)
        expected = []
        for token in range(render["sequence_length"]):
            weight = oracle(render, token)[policy]
            for row in alignment.get("thinking_spans", ()):
                if row["token_start"] <= token < row["token_end"]:
                    weight *= thinking_weight
            for row in alignment["message_spans"]:
                if row["token_start"] <= token < row["token_end"]:
                    weight *= losses[row["message_index"]]
            expected.append(weight)
        assert made.weights() == expected, policy
        assert made.trained == sum(weight > 0 for weight in expected), policy
        assert made.weights_json() == orjson.dumps(expected), policy


def test_more_weights_than_codes(registry: Registry) -> None:
    render, _ = build_render([Turn("user", [], ["w"] * 300)], bos=None)
    ranges = [
        {"start": index, "end": index + 1, "weight": (index + 1) / 512} for index in range(255)
    ]
    made = make_mask(render, registry.bind("custom", {"token_ranges": ranges}).layers)
    assert made.weights() == [(index + 1) / 512 if index < 255 else 0.0 for index in range(300)]
    ranges.append({"start": 255, "end": 256, "weight": 256 / 512})
    with pytest.raises(PolicyError, match="more than 255 distinct weights"):
        make_mask(render, registry.bind("custom", {"token_ranges": ranges}).layers)
