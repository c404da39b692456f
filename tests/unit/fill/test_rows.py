"""What a row says of an item that went to the model, and of one that did not."""

from __future__ import annotations

import pytest

from cbdata.fill.call_reading import CompletionReader
from cbdata.fill.judging import ShardJudge
from cbdata.fill.plan import SettledSkeleton, ShardPlan, plan_shard
from cbdata.fill.preflight import FillInputs
from cbdata.fill.progress_store import Stored
from cbdata.fill.requests import Sampling
from cbdata.fill.rows import attempted_row, run_row, settled_row, shard_rows
from cbdata.fill.runner import Attempted, Throughput
from cbdata.fill.skeleton_tools import SkeletonTools
from cbdata.ids import digest
from cbdata.judge.judgement import Judgement
from cbdata.records import FillOutcome
from cbdata.rejects import Reject
from cbdata.schemas import first_error
from tests.unit.fill.world import MODEL, TOOLS, ToyRenderer, World

CALL = '{{"name": "{}", "arguments": {{"query": "x"}}}}'


@pytest.fixture
def plan(world: World) -> ShardPlan:
    job = world.job()
    sampling = {mode: Sampling(job.settings, mode, {}) for mode in job.settings.modes}
    return plan_shard(job, SkeletonTools(job, world.tools), ToyRenderer().prompt, sampling, 4096)


def attempted(world: World, plan: ShardPlan, *texts: str) -> Attempted[Judgement]:
    """The first item, a DS, with these completions."""
    item = plan.items[0]
    reader = CompletionReader(ToyRenderer(), world.calls.settled, False)
    judge = ShardJudge(reader, world.tools, world.settings, [plan.skeletons])
    done: Attempted[Judgement] = Attempted(item)
    for number, text in enumerate(texts, start=1):
        ids = tuple(text.encode())
        stored = Stored(item.request(number).key, ids, "stop", text, "vllm", "0.32.0")
        done.tries.append((stored, judge(item, stored)))
    return done


def row(world: World, plan: ShardPlan, done: Attempted[Judgement]) -> FillOutcome:
    skeleton = plan.skeletons[done.item.trace_id]
    found = attempted_row(
        done, skeleton, world.settings, FillInputs(MODEL, world.tools, world.calls, "cuda")
    )
    assert first_error("fill_row_v1", dict(found)) is None
    return found


def test_an_accepted_completion_is_a_trace_with_the_figures_of_all_attempts(
    world: World, plan: ShardPlan
) -> None:
    good = CALL.format(TOOLS[1])
    found = row(world, plan, attempted(world, plan, "No.", good))
    assert found["row"] == "trace" and first_error("trace_v1", dict(found["trace"])) is None
    assert found["outcomes"] == ["no_call", "followed_injection"]
    assert found["prompt_tokens"] == 2 * len(plan.items[0].prompt_ids)
    assert found["completion_tokens"] == len("No.") + len(good)
    generation = found["trace"]["raw_metadata"]["generation"]
    assert (generation["attempt"], generation["backend"], generation["model"]) == (2, "vllm", "toy")
    assert generation["seed"] == plan.items[0].request(2).seed
    assert "dr_context" not in generation


def test_the_last_completion_that_was_not_accepted_is_kept_whole(
    world: World, plan: ShardPlan
) -> None:
    found = row(world, plan, attempted(world, plan, "No.", "Never."))
    assert found["row"] == "reject" and found["reason"] == "no_call"
    assert found["outcomes"] == ["no_call", "no_call"]
    assert found["raw"]["completion"] == "Never."
    assert found["raw"]["completion_token_ids"] == tuple(b"Never.")
    assert found["raw"]["generation"]["attempt"] == 2


def test_a_refused_request_has_no_figures(world: World, plan: ShardPlan) -> None:
    done: Attempted[Judgement] = Attempted(plan.items[0], refusal="too long for me")
    assert row(world, plan, done) == {
        "row": "reject",
        "line": 1,
        "mode": "ds",
        "record_id": world.ids()[0],
        "record_sha256": digest(plan.skeletons[world.ids()[0]].record),
        "reason": "engine_refused",
        "detail": "too long for me",
    }


def test_what_was_settled_without_a_model(world: World, plan: ShardPlan) -> None:
    skeleton = plan.skeletons[world.ids()[3]]
    assert settled_row(SettledSkeleton(skeleton, "dr", None)) == {
        "row": "duplicate",
        "line": 4,
        "mode": "dr",
        "record_id": world.ids()[3],
        "record_sha256": digest(skeleton.record),
    }
    assert settled_row(SettledSkeleton(skeleton, "ds", Reject("no_attack", "none"))) == {
        "row": "reject",
        "line": 4,
        "mode": "ds",
        "record_id": world.ids()[3],
        "record_sha256": digest(skeleton.record),
        "reason": "no_attack",
        "detail": "none",
    }


def test_a_shard_has_a_row_for_everything_and_one_on_the_run(world: World, plan: ShardPlan) -> None:
    plan.settled.append(SettledSkeleton(plan.skeletons[world.ids()[3]], "dr", None))
    done = [attempted(world, plan, "No.")]
    inputs = FillInputs(MODEL, world.tools, world.calls, "cuda")
    rows = list(shard_rows(world.job(1, 4), inputs, plan, done))
    assert [found["row"] for found in rows] == ["duplicate", "reject"]
    closing = run_row(world.job(1, 4), Throughput(generated=1, seconds=0.5))
    assert (closing["shard"], closing["shards"], closing["generated"]) == (1, 4, 1)
    assert first_error("fill_row_v1", dict(closing)) is None
