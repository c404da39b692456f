"""How many shards to choose: the bounds by hand, and what holds for any measured run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.fill.sizing import (
    LOADING_SHARE,
    USABLE_TIME,
    RunCost,
    ShardCountError,
    choose,
    run_cost,
    whole_run,
)


def stats(**throughput: Any) -> dict[str, Any]:
    return {
        "counts": {"records_in": 120, "not_selected": 20},
        "details": {
            "throughput": {
                "generated": 200,
                "reused": 0,
                "seconds": 100.0,
                "load_seconds": 80.0,
                "shards": 2,
                **throughput,
            }
        },
    }


def test_what_a_run_run_cost() -> None:
    assert run_cost(stats(), "x") == RunCost(100, 100.0, 40.0)
    # Half of the completions were stored: the other half took 100 s.
    assert run_cost(stats(reused=200), "x") == RunCost(100, 200.0, 40.0)


@pytest.mark.parametrize(
    ("engines", "hours", "shards", "least", "most"),
    [
        (1, 1.0, 5, 5, 25),  # 10,000 s of work, 2,480 s of it in each hour
        (8, 1.0, 8, 5, 25),  # as many as engines
        (8, 0.5, 16, 9, 25),  # 1,220 s in each half hour; a multiple of the engines
        (64, 24.0, 25, 1, 25),  # more would load the model more often than it is worth
        (4, 0.05, 117, 117, 25),  # 86 s of three minutes: the time limit wins
    ],
)
def test_bounds_and_choice(engines: int, hours: float, shards: int, least: int, most: int) -> None:
    choice = choose(RunCost(100, 100.0, 40.0), 10_000, engines, hours * 3600)
    assert (choice.shards, choice.least, choice.most) == (shards, least, most)
    assert choice.shard_s == 40.0 + 10_000 / shards
    assert choice.total_s == -(-shards // engines) * choice.shard_s


@given(
    run=st.builds(RunCost, st.integers(1, 1000), st.floats(0.1, 1e5), st.floats(0, 500)),
    skeletons=st.integers(1, 10**6),
    engines=st.integers(1, 64),
    limit_s=st.floats(800, 1e6),
)
def test_the_time_limit_is_kept_and_the_share_of_loading_where_both_can_be(
    run: RunCost, skeletons: int, engines: int, limit_s: float
) -> None:
    choice = choose(run, skeletons, engines, limit_s)
    assert choice.shard_s <= USABLE_TIME * limit_s * (1 + 1e-9)
    work_s = run.generation_s * skeletons / run.skeletons
    if choice.shards > max(choice.least, 1):
        assert choice.shards * run.load_s <= LOADING_SHARE * work_s * (1 + 1e-9)


def test_a_model_that_loads_at_once() -> None:
    assert choose(RunCost(1, 1.0, 5e-324), 300, 8, 3600).most == 300


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({}, "no stats of the fill stage"),
        (stats(generated=0), "generated nothing"),
        ([], "no stats of the fill stage"),
    ],
)
def test_a_run_that_measured_nothing(broken: Any, message: str) -> None:
    with pytest.raises(ShardCountError, match=message):
        run_cost(broken, "x")


def test_a_limit_too_short_to_load_the_model() -> None:
    with pytest.raises(ShardCountError, match="more time"):
        choose(RunCost(100, 100.0, 40.0), 100, 1, 50)


def test_the_table_as_a_user_gets_it(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "fill.json").write_text(json.dumps(stats()))
    command = [
        sys.executable,
        repo / "workflow/scripts/choose_fill_shards.py",
        tmp_path / "fill.json",
        "--skeletons",
        "10000",
    ]
    done = subprocess.run(
        [*command, "--gpus", "8", "--hours", "1", "0.5"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "measured: 100 skeletons, 1 s of generation each, 40 s to load the model"
    assert lines[-2:] == [
        "| 8 | 1 h | 8 | 5 | 25 | 0.36 h | 0.36 h |",
        "| 8 | 0.5 h | 16 | 9 | 25 | 0.18 h | 0.37 h |",
    ]
    failed = subprocess.run(
        [*command[:2], tmp_path / "absent.json", *command[3:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1 and "absent.json" in failed.stderr


def test_several_sets_share_an_engine() -> None:
    runs = [RunCost(100, 50.0, 40.0), RunCost(10, 20.0, 60.0)]
    whole = whole_run(runs, [1000, 100])
    assert whole == RunCost(1100, 700.0, 60.0)
    assert choose(whole, 1100, 4, 3600) == choose(RunCost(1, 7.0, 60.0), 100, 4, 3600)


def test_the_table_of_several_sets(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "fill.json").write_text(json.dumps(stats()))
    files = [tmp_path / "fill.json"] * 2
    command = [sys.executable, repo / "workflow/scripts/choose_fill_shards.py", *files]
    numbers = ["--skeletons", "6000", "4000", "--gpus", "8", "--hours", "1"]
    done = subprocess.run([*command, *numbers], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        "measured: 100 skeletons, 1 s of generation each, 40 s to load the model",
        "measured: 100 skeletons, 1 s of generation each, 40 s to load the model",
        "10000 skeletons: 2.8 h of generation in all",
    ]
    assert lines[-1] == "| 8 | 1 h | 8 | 5 | 25 | 0.36 h | 0.36 h |"
    one = subprocess.run([*command, *numbers[:2]], capture_output=True, text=True, check=False)
    assert one.returncode == 2 and "as many numbers" in one.stderr
