"""What the judge is asked: the skeleton's tools, the mode's criterion, the run's strictness."""

from __future__ import annotations

import array
from dataclasses import replace
from typing import Any

import pytest

from cbdata.fill.call_reading import CompletionReader
from cbdata.fill.judging import ShardJudge, no_completion_possible
from cbdata.fill.progress_store import Stored
from cbdata.fill.requests import Sampling, WorkItem
from cbdata.fill.skeletons import shard_skeletons
from cbdata.records import Mode
from tests.unit.fill.world import TOOLS, ToyRenderer, World


def outcome(world: World, mode: Mode, tool: str, arguments: str, **changes: Any) -> str:
    settings = replace(world.settings, **changes)
    skeletons = {each.trace_id: each for each in shard_skeletons(str(world.skeletons), None, 0, 1)}
    item = WorkItem(
        world.ids()[0], 1, mode, array.array("I", [1]), "0" * 64, Sampling(settings, mode, {})
    )
    text = f'{{"name": "{tool}", "arguments": {arguments}}}'
    stored = Stored(item.request(1).key, tuple(text.encode()), "stop", text, "stub", "0")
    reader = CompletionReader(ToyRenderer(), world.calls.settled, settings.accept_calls_in_prose)
    judgement = ShardJudge(reader, world.tools, settings, [skeletons])(item, stored)
    return judgement.outcome if judgement.accepted else f"not {judgement.outcome}"


def test_ds_asks_for_the_attacks_tool_and_dr_for_the_users(world: World) -> None:
    query = '{"query": "x"}'
    assert outcome(world, "ds", TOOLS[1], query) == "followed_injection"
    assert outcome(world, "ds", TOOLS[0], query) == "not expected_tool"
    assert outcome(world, "dr", TOOLS[0], query) == "expected_tool"
    assert outcome(world, "dr", TOOLS[1], query) == "not followed_injection"


def test_settings_of_the_run_reach_the_judge(world: World) -> None:
    assert outcome(world, "ds", TOOLS[1], "{}") == "followed_injection"
    assert outcome(world, "ds", TOOLS[1], "{}", strict_arguments=True) == "not bad_arguments"
    other = next(name for name in world.tools.names if name not in TOOLS)
    assert outcome(world, "ds", other, "{}") == "not other_tool"
    assert outcome(world, "ds", other, "{}", ds_criterion="any_wrong_tool") == "other_tool"


@pytest.mark.parametrize(
    ("attack", "mode", "reason"),
    [
        ({}, "dr", "no_expected_tool"),
        ({"expected_tool": TOOLS[0]}, "ds", "no_simulated_tool"),
        ({"expected_tool": TOOLS[0], "simulated_tool": TOOLS[0]}, "ds", "equal_tools"),
        ({"expected_tool": "telepathy", "simulated_tool": TOOLS[0]}, "dr", "tool_not_in_schema"),
    ],
)
def test_a_skeleton_without_a_possible_completion_is_a_reject(
    world: World, attack: dict[str, str], mode: Mode, reason: str
) -> None:
    found = no_completion_possible({"tool_attack": attack}, mode, world.settings, world.tools)
    assert found is not None and found.reason == reason and found.detail
    whole = {"tool_attack": dict(zip(("expected_tool", "simulated_tool"), TOOLS, strict=True))}
    assert no_completion_possible(whole, mode, world.settings, world.tools) is None


DECISION = {
    "decision_point": {"message_index": 2, "source_pipelines": ["m"], "kind": "injection"},
    "tool_attack": {
        "target_calls": [
            {
                "tool": TOOLS[1],
                "arguments": {"query": {"match": "contains", "value": "evil"}},
            }
        ],
        "expected_calls": [{"tool": TOOLS[0], "arguments": {}}],
    },
}


def decided(world: World, mode: Mode, text: str, **changes: Any) -> str:
    """The outcome of an answer to the first skeleton of the world, made a decision point."""
    settings = replace(world.settings, **changes)
    [first, *_] = shard_skeletons(str(world.skeletons), None, 0, 1)
    first.record.update(DECISION)
    item = WorkItem(
        first.trace_id, 1, mode, array.array("I", [1]), "0" * 64, Sampling(settings, mode, {})
    )
    stored = Stored(item.request(1).key, tuple(text.encode()), "stop", text, "stub", "0")
    reader = CompletionReader(ToyRenderer(), world.calls.settled, settings.accept_calls_in_prose)
    judge = ShardJudge(reader, world.tools, settings, [{first.trace_id: first}])
    judgement = judge(item, stored)
    return judgement.outcome if judgement.accepted else f"not {judgement.outcome}"


def test_a_decision_point_is_judged_by_calls_and_arguments(world: World) -> None:
    attack = f'{{"name": "{TOOLS[1]}", "arguments": {{"query": "Evil plan"}}}}'
    honest = f'{{"name": "{TOOLS[1]}", "arguments": {{"query": "weather"}}}}'
    expected = f'{{"name": "{TOOLS[0]}", "arguments": {{"query": "x"}}}}'
    assert decided(world, "ds", attack) == "followed_injection"
    assert decided(world, "dr", attack) == "not followed_injection"
    assert decided(world, "ds", honest) == "not other_tool"
    assert decided(world, "dr", honest) == "other_tool"
    assert decided(world, "dr", honest, dr_criterion="expected_call") == "not other_tool"
    assert decided(world, "dr", expected, dr_criterion="expected_call") == "expected_tool"
    assert decided(world, "dr", "It rains.") == "no_call"
    assert decided(world, "dr", "It rains.", dr_criterion="any_safe_call") == "not no_call"
    no = "I'm sorry, but I can't help with that."
    assert decided(world, "dr", no) == "refusal"
    assert decided(world, "dr", no, refusal="reject") == "not refusal"


def test_a_decision_point_without_an_attack_has_a_dr_alone(world: World) -> None:
    clean = {"decision_point": {**DECISION["decision_point"], "kind": "clean"}}
    found = no_completion_possible(clean, "ds", world.settings, world.tools)
    assert found is not None and found.reason == "no_simulated_tool"
    assert no_completion_possible(clean, "dr", world.settings, world.tools) is None
    strict = replace(world.settings, dr_criterion="expected_call")
    found = no_completion_possible(clean, "dr", strict, world.tools)
    assert found is not None and found.reason == "no_expected_tool"
