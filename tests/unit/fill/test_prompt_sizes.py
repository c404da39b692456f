"""What planning says about the length of prompts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cbdata.fill.plan import plan_shard
from cbdata.fill.prompt_sizes import FIT_IN_A_ROW, PromptSizes, prompt_sizes
from cbdata.fill.requests import Sampling
from cbdata.fill.skeleton_tools import SkeletonTools
from cbdata.fill.token_budget import TokenBudget
from cbdata.jsonl import dumps, read_records
from tests.unit.fill.world import ToyRenderer, World


@pytest.fixture
def grown(world: World) -> World:
    """Forty skeletons, each ten letters longer than the one before it."""
    records = [record for _, record in read_records(world.skeletons)]
    for number, record in enumerate(records):
        record["messages"][0]["content"] += "x" * 10 * number
    world.skeletons.write_bytes(b"".join(map(dumps, records)))
    return world


def sizes(world: World, most_tokens: int, most: int = 1000, **changes: object) -> PromptSizes:
    job = world.job(**changes)
    found = prompt_sizes(
        str(world.skeletons),
        job.settings,
        SkeletonTools(job, world.tools),
        ToyRenderer().prompt,
        lambda tokens: tokens <= most_tokens,
        most,
    )
    assert found is not None
    return found


def longest(world: World) -> int:
    job = world.job()
    sampling = {mode: Sampling(job.settings, mode, {}) for mode in job.settings.modes}
    schemas = SkeletonTools(job, world.tools)
    return plan_shard(job, schemas, ToyRenderer().prompt, sampling, 1 << 20).longest_prompt


def test_the_longest_prompt_is_the_one_that_the_job_will_find(grown: World) -> None:
    found = sizes(grown, 1 << 20)
    assert (found.longest, found.too_long, found.skeletons) == (longest(grown), 0, 40)
    assert found.looked == FIT_IN_A_ROW and found.whole


def test_what_does_not_fit_is_counted(grown: World) -> None:
    found = sizes(grown, longest(grown) - 65)
    assert (found.too_long, found.whole) == (7, True)
    words = found.line(TokenBudget(256), 1024)
    assert words.startswith("warning: ") and "7 of 40 skeletons do not fit" in words
    assert "a context of 1,024 tokens with max_tokens 256" in words and "overlength" in words


def test_a_quick_look_says_how_many_there_are_at_least(grown: World) -> None:
    found = sizes(grown, longest(grown) - 65, most=4)
    assert (found.looked, found.too_long, found.whole) == (4, 4, False)
    assert "4 or more skeletons do not fit" in found.line(TokenBudget(256), 1024)


def test_records_beyond_the_limit_are_not_looked_at(grown: World) -> None:
    found = sizes(grown, 1 << 20, limit=3)
    assert found.skeletons == found.looked == 3 and found.longest < longest(grown)


def test_without_a_file_or_without_a_prompt_there_is_nothing_to_say(world: World) -> None:
    job = world.job()
    schemas = SkeletonTools(job, world.tools)
    given = (job.settings, schemas, ToyRenderer().prompt, lambda tokens: True, 10)
    assert prompt_sizes(str(world.folder / "none.jsonl"), *given) is None
    world.skeletons.write_bytes(b'{"id": 3}\nno JSON\n[]\n')
    assert prompt_sizes(str(world.skeletons), *given) is None


def test_a_run_of_one_mode_has_the_prompts_of_that_mode(grown: World) -> None:
    ds, dr = (sizes(grown, 1 << 20, mode=mode).longest for mode in ("ds", "dr"))
    assert dr < ds == longest(grown)
    assert replace(grown.settings, mode="dr").modes == ("dr",)
