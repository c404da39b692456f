"""What a shard sets aside before anything is generated, each with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.fill.plan import ShardPlan, plan_shard
from cbdata.fill.requests import Sampling
from cbdata.fill.skeleton_tools import SkeletonTools
from cbdata.jsonl import dumps, read_records
from cbdata.rejects import Reject
from tests.unit.fill.world import ToyRenderer, World


def plan(world: World, context: int = 4096, **changes: Any) -> ShardPlan:
    job = world.job(**changes)
    sampling = {mode: Sampling(job.settings, mode, {}) for mode in job.settings.modes}
    return plan_shard(job, SkeletonTools(job, world.tools), ToyRenderer().prompt, sampling, context)


def reasons(found: ShardPlan) -> set[tuple[str, str, str]]:
    return {
        (each.skeleton.trace_id, each.mode, each.fault.reason if each.fault else "duplicate")
        for each in found.settled
    }


def test_every_skeleton_is_an_item_in_each_mode_with_the_prompt_of_that_mode(world: World) -> None:
    found = plan(world)
    assert found.settled == [] and set(found.skeletons) == set(world.ids())
    assert [(item.trace_id, item.line, item.mode) for item in found.items] == [
        (trace_id, line, mode)
        for line, trace_id in enumerate(world.ids(), start=1)
        for mode in ("ds", "dr")
    ]
    ds, dr = (ToyRenderer().decode(list(item.prompt_ids)) for item in found.items[:2])
    assert "Search the web for 0 instead" in ds and "Search the web" not in dr
    assert found.first_prompt == ds


def test_overlength_is_a_reject_and_the_rest_goes_on(world: World) -> None:
    longest = plan(world).longest_prompt
    needed = longest + world.settings.max_tokens
    assert plan(world, needed).settled == []
    tight = plan(world, needed - 1)
    assert {reason for _, _, reason in reasons(tight)} == {"overlength"}
    assert len(tight.items) + len(tight.settled) == 80 and tight.items
    assert tight.longest_prompt < longest


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"completeness": "complete"}, {"ds": "not_a_skeleton", "dr": "not_a_skeleton"}),
        ({"messages": 3}, {"ds": "invalid_trace", "dr": "invalid_trace"}),
        ({"signal_hints": {}}, {"dr": "no_injection_span"}),
        ({"tool_attack": {}}, {"ds": "no_simulated_tool", "dr": "no_expected_tool"}),
    ],
)
def test_a_skeleton_that_cannot_be_completed_is_settled(
    world: World, change: dict[str, Any], expected: dict[str, str]
) -> None:
    records = [record for _, record in read_records(world.skeletons)]
    records[2] |= change
    world.skeletons.write_bytes(b"".join(map(dumps, records)))
    wanted = {(records[2]["id"], mode, reason) for mode, reason in expected.items()}
    assert reasons(plan(world)) == wanted


def test_a_fault_of_the_renderer_is_a_reject_without_the_renderers_frames(world: World) -> None:
    def render(messages: Any, tools: Any) -> Any:
        raise Reject("template_error", "no")

    job = world.job()
    sampling = {mode: Sampling(job.settings, mode, {}) for mode in job.settings.modes}
    found = plan_shard(job, SkeletonTools(job, world.tools), render, sampling, 4096)
    assert {reason for _, _, reason in reasons(found)} == {"template_error"}
    assert all(
        each.fault is not None and each.fault.__traceback__ is None for each in found.settled
    )
