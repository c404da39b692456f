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
    judgement = ShardJudge(reader, world.tools, settings, skeletons)(item, stored)
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
