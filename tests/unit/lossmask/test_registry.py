"""The registry file: complete, closed, versioned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.lossmask.policies import SPAN_KINDS, PolicyError
from cbdata.lossmask.registry import Registry, load_registry
from cbdata.schemas import load_schema


def test_the_policies_of_the_data_contract_are_there(registry: Registry) -> None:
    contract = {
        "assistant_only",
        "completion_only",
        "full_sequence",
        "cb_full_sequence",
        "tool_calls_only",
        "action_prefix_only",
        "action_commitment",
    }
    assert contract <= set(registry.ids)
    assert registry.default_policy == "assistant_only"
    assert all(entry["description"] and entry["suits"] for entry in registry.entries.values())


def test_the_schema_knows_every_span_kind() -> None:
    kinds = load_schema("lmp_registry")["$defs"]["layer"]["properties"]["span"]["enum"]
    assert {*kinds, "range"} == set(SPAN_KINDS)


def named(data: dict[str, Any], policy: str) -> dict[str, Any]:
    return next(entry for entry in data["policies"] if entry["id"] == policy)


@pytest.fixture
def load_changed(
    tmp_path: Path, repo: Path
) -> Callable[[Callable[[dict[str, Any]], Any]], Registry]:
    def of(change: Callable[[dict[str, Any]], Any]) -> Registry:
        data = orjson.loads((repo / "configs/lmp_registry_v1.json").read_bytes())
        change(data)
        (tmp_path / "registry.json").write_bytes(orjson.dumps(data))
        return load_registry(tmp_path / "registry.json")

    return of


def test_one_entry_adds_a_policy(load_changed) -> None:
    entry = {
        "id": "tool_results_after_injection",
        "version": "1",
        "strategy": "layers",
        "description": "x",
        "suits": ["benign"],
        "allow_empty": True,
        "params": {"weight": 0.1},
        "layers": [
            {"span": "content", "roles": ["tool"], "after": "injection", "weight": "weight"}
        ],
    }
    policy = load_changed(lambda data: data["policies"].append(entry)).bind(
        "tool_results_after_injection"
    )
    assert (policy.layers[0].weight, policy.layers[0].after_injection, policy.allow_empty) == (
        0.1,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data["policies"].append(data["policies"][0]),
            "'assistant_only' is there twice",
        ),
        (
            lambda data: data.update(default_policy="assistant"),
            "unknown loss mask policy 'assistant'; did you mean",
        ),
        (
            lambda data: data["policies"][0]["layers"][0].update(span="contents"),
            "policies/0/layers/0/span",
        ),
        (
            lambda data: data["policies"][0]["layers"][0].update(weight=1.5),
            "policies/0/layers/0/weight",
        ),
        (
            lambda data: data["policies"][0]["layers"][0].update(weight="nothing"),
            "names the parameter 'nothing'",
        ),
        (
            lambda data: data["policies"][2]["layers"][0].update(roles=["user"]),
            "policies/2/layers/0/span",
        ),
        (
            lambda data: data["policies"][0]["layers"][0].update(first=0),
            "policies/0/layers/0/first",
        ),
        (
            lambda data: data["policies"][0]["layers"][0].update(first="length"),
            "a layer's first names the parameter 'length', which params does not have",
        ),
        (
            lambda data: named(data, "completion_window")["params"].update(window=1.5),
            "completion_window: parameter window: expected a whole number of at least 1, got 1.5",
        ),
        (lambda data: data["policies"][0].pop("layers"), "policies/0"),
        (lambda data: data["policies"][0].update(extra=1), "policies/0"),
        (lambda data: named(data, "custom").update(layers=[]), r"policies/\d+"),
        (lambda data: data.pop("default_policy"), "default_policy"),
    ],
)
def test_a_wrong_registry_is_refused(
    load_changed, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        load_changed(change)


def test_a_file_that_is_no_registry(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="does not exist"):
        load_registry(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(PolicyError, match="is not JSON"):
        load_registry(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("policy", "params", "message"),
    [
        ("assistant_only", {"weight": 1}, "unknown parameter 'weight'; its parameters: none"),
        (
            "tool_name_weighted",
            {"names": 1},
            "unknown parameter 'names'; its parameters: name_weight, argument_weight",
        ),
        (
            "tool_name_weighted",
            {"name_weight": -1},
            r"parameter name_weight: expected a weight in \[0, 1\], got -1",
        ),
        ("tool_name_weighted", {"name_weight": "1"}, "got '1'"),
        ("completion_window", {"window": 0}, "parameter window: expected a whole number of at"),
        ("completion_window", {"window": True}, "parameter window: expected .*, got True"),
        ("completion_window", {"after_thinking": 1}, "after_thinking: expected true or false"),
        ("first_action", {"window": 3}, "unknown parameter 'window'; its parameters: none"),
    ],
)
def test_parameters_that_a_policy_does_not_have(
    registry: Registry, policy: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        registry.bind(policy, params)


def test_parameters_are_recorded_in_full(registry: Registry) -> None:
    assert registry.bind("tool_name_weighted", {"argument_weight": 0.5}).params == {
        "name_weight": 1.0,
        "argument_weight": 0.5,
    }
    assert registry.bind("tool_name_weighted").params == {
        "name_weight": 1.0,
        "argument_weight": 0.3,
    }
