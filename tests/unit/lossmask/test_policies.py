"""Every policy on one conversation, expected tokens spelled out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.ids import digest
from cbdata.lossmask.masks import SpanError, make_mask
from cbdata.lossmask.policies import ParamsMissing, PolicyError
from cbdata.lossmask.registry import Registry
from tests.conversations import Injection, Turn, agent_turns, build_render

Trained = Callable[..., str]

FIRST_TURN = "Looking <call> { read _ file (rent) } <call> { get _iban () } <end>"
SECOND_TURN = "<call> { send _money (42) } <end>"
LAST_TURN = "Done <end>"
ASSISTANT = f"{FIRST_TURN} {SECOND_TURN} {LAST_TURN}"
SYSTEM = "<sys> Be kind <end>"


def now(registry: Registry, trained: Trained) -> dict[str, dict[str, str | None]]:
    """What ``tests/data/policies.json`` should say of every policy: a digest of what it is, and the
    tokens of the conversation that it trains, none of a policy that does nothing by itself.
    """
    found = {}
    for policy, entry in registry.entries.items():
        parts = {key: entry.get(key) for key in ("strategy", "params", "layers", "allow_empty")}
        trains = trained(*build_render(agent_turns()), policy) if "layers" in entry else None
        found[f"{policy} {entry['version']}"] = {"behaviour": digest(parts)[:12], "trains": trains}
    return found


def test_every_policy_trains_the_tokens_that_are_expected(
    repo: Path, registry: Registry, trained: Trained
) -> None:
    expected = orjson.loads((repo / "tests/data/policies.json").read_bytes())
    assert {name.split()[0] for name in expected} <= set(registry.ids), "a policy is gone"
    for name, is_now in now(registry, trained).items():
        line = f'"{name}": {json.dumps(is_now, ensure_ascii=False)}'
        assert name in expected, (
            f"tests/data/policies.json lacks this line, if it is right:\n{line}"
        )
        assert is_now == expected[name], (
            f"{name} changed under an old version. It gets a new one, and this line:\n{line}"
        )


def test_custom_paints_ranges_over_roles(trained: Trained) -> None:
    params = {
        "roles": {"user": 0.25, "assistant": 1.0},
        "token_ranges": [
            {"start": 0, "end": 2, "weight": 0.5},
            {"start": 9, "end": 10, "weight": 0},
            {"start": 51, "end": 4000},
        ],
    }
    # Token 9 is "<end>" of the user turn, token 51 the "↵" behind the last turn, where the second
    # range is cut.
    render, tokens = build_render(agent_turns())
    assert (tokens[9], len(tokens)) == ("<end>", 52)
    assert (
        trained(render, tokens, "custom", params)
        == f"<bos>*0.5 <sys>*0.5 Pay*0.25 rent*0.25 {ASSISTANT} ↵"
    )


def test_custom_takes_a_list_of_roles(trained: Trained) -> None:
    assert trained(*build_render(agent_turns()), "custom", {"roles": ["system"]}) == "Be kind <end>"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"role": {}}, "unknown parameter 'role'"),
        ({"roles": {"asistant": 1}}, "unknown role 'asistant'"),
        ({"roles": {"user": 1.5}}, r"roles.user: expected a weight in \[0, 1\], got 1.5"),
        ({"roles": {"user": True}}, "got True"),
        ({"roles": "user"}, "expected a list or an object"),
        ({"token_ranges": {"start": 1}}, "expected a list"),
        (
            {"token_ranges": [{"start": 3, "end": 3}]},
            r"token_ranges\[0\]: expected integers 0 <= start < end",
        ),
        ({"token_ranges": [{"start": -1, "end": 3}]}, "0 <= start < end"),
        ({"token_ranges": [{"start": 0}]}, "expected {start, end, weight}"),
        ({"token_ranges": [{"start": 0, "end": 1, "weight": float("nan")}]}, "expected a weight"),
    ],
)
def test_custom_refuses_what_it_cannot_mean(
    registry: Registry, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        registry.bind("custom", params)


def test_custom_without_parameters_is_an_error(registry: Registry) -> None:
    with pytest.raises(ParamsMissing):
        registry.bind("custom")


def test_parameters_replace_the_registry_s_weights(trained: Trained) -> None:
    render, tokens = build_render(agent_turns())
    params = {"injection_weight": 0.0}
    assert trained(render, tokens, "injection_aware", params) == f"{SECOND_TURN} {LAST_TURN}"


def test_after_injection_begins_at_its_first_sight(trained: Trained) -> None:
    turns = [
        Turn("user", ["<user>"], [Injection(["ATTACK"])]),
        Turn("assistant", ["<asst>"], ["yes"]),
        Turn("tool", ["<tool>"], [Injection(["ATTACK"])]),
        Turn("assistant", ["<asst>"], ["ok"]),
    ]
    assert trained(*build_render(turns), "post_injection_only") == "yes ok"


def test_without_injection_nothing_comes_after_it(trained: Trained) -> None:
    turns = [Turn("user", ["<user>"], ["hi"]), Turn("assistant", ["<asst>"], ["yes"])]
    for policy in ("post_injection_only", "post_injection_tool_calls_only", "injection_aware"):
        assert trained(*build_render(turns), policy) == ""


def test_no_bos_to_leave_out(trained: Trained) -> None:
    turns = [Turn("system", ["<sys>"], ["rules"]), Turn("user", ["<user>"], ["hi"])]
    assert trained(*build_render(turns, bos=None), "cb_full_sequence") == "<user> hi"


CUT = [
    Turn("user", ["<user>"], ["hi"]),
    Turn("assistant", ["<asst>"], ["first"]),
    Turn("user", ["<user>"], ["more"]),
]


@pytest.mark.parametrize("prompt_known", [True, False])
def test_completion_is_not_an_earlier_turn_when_the_last_one_is_cut_off(
    trained: Trained, prompt_known: bool
) -> None:
    render, tokens = build_render(CUT, truncated=True)
    render["prompt"]["length"] = len(
        tokens
    )  # the last turn's own text would have begun behind the cut
    if not prompt_known:
        del render["prompt"]
    assert trained(render, tokens, "completion_only") == ""
    assert trained(render, tokens, "assistant_only") == "first"


def test_completion_in_a_window_whose_prompt_was_cut(trained: Trained) -> None:
    render, tokens = build_render(CUT, truncated=True)
    render["render_options"]["truncation_side"] = "window"
    del render["prompt"]
    assert trained(render, tokens, "completion_only") == "first"


def test_a_span_outside_the_sequence_is_an_error(registry: Registry) -> None:
    render, tokens = build_render(agent_turns())
    render["alignment"]["tool_call_spans"][-1]["token_end"] = len(tokens) + 1
    with pytest.raises(
        SpanError,
        match=(
            rf"tool_call span \[40, {len(tokens) + 1}\) does not fit a sequence of {len(tokens)}"
            r" tokens"
        ),
    ):
        make_mask(render, registry.bind("tool_calls_only").layers)
