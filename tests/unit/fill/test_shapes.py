"""Which shape of job fits which model and site, reckoned by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbdata.fill.model_size import ModelSize
from cbdata.fill.shapes import Shape, Site, best, needed_bytes, node_sizes, shape_table, shapes
from cbdata.fill.sizing import RunCost

LLAMA_8B = ModelSize(16_060_522_496, 131_072, 32, 32)
LLAMA_70B = ModelSize(141_107_412_992, 327_680, 64, 80)
LLAMA_405B = ModelSize(811_706_220_544, 516_096, 128, 126)
SITE = Site(80e9, 8, 16, whole_nodes=False, served=False, limit_s=4 * 3600)
RUN = RunCost(13_246, 36_000.0, 90.0)
"""Ten hours of one GPU."""


def test_an_engine_needs_its_weights_and_a_cache_for_32_requests() -> None:
    assert needed_bytes(LLAMA_8B, 8192) == 16_060_522_496 + 32 * 8192 * 131_072
    assert node_sizes(LLAMA_8B, 8) == [1, 2, 4, 8]
    assert node_sizes(replace(LLAMA_8B, heads=9), 8) == [1, 3]


def test_a_small_model_where_a_job_holds_what_it_uses() -> None:
    """50.4 GB of the 68 usable ones: one GPU an engine. 16 shards of 2,250 s, and 90 s to load."""
    one, side_by_side, over, served = shapes(LLAMA_8B, 8192, SITE, RUN)
    assert one == Shape("shard per engine", 1, 1, 1, 1, 16, 16, 90 + 36_000 / 16)
    assert side_by_side == Shape("engines per job", 1, 8, 1, 8, 16, 2, 90 + 36_000 / 16)
    assert over.problem == "one node holds the model, and is faster"
    assert served.problem == "no server of the model runs"
    assert best([one, side_by_side, over, served], whole_nodes=False) == one


def test_a_site_that_gives_whole_nodes() -> None:
    """A shard for each engine leaves 7 of 8 GPUs idle: two nodes work ten times as long."""
    found = shapes(LLAMA_8B, 8192, replace(SITE, whole_nodes=True), RUN)
    one, side_by_side = found[:2]
    assert (one.job_gpus, one.engines, one.shards, one.total_s) == (8, 2, 4, 2 * (90 + 9000))
    assert (side_by_side.job_gpus, side_by_side.engines, side_by_side.shards) == (8, 16, 2)
    assert side_by_side.total_s == 90 + 36_000 / 16
    assert best(found, whole_nodes=True) == side_by_side


def test_a_model_of_a_part_of_a_node() -> None:
    """227 GB: 3.3 GPUs, so 4, which divide the 64 heads. Measured on 4, so nothing is scaled."""
    one, side_by_side = shapes(LLAMA_70B, 8192, SITE, RUN, measured_gpus=4)[:2]
    assert (one.tensor_parallel, one.job_gpus, one.engines) == (4, 4, 4)
    assert one.total_s == 90 + 36_000 / 4
    assert (side_by_side.engines_per_job, side_by_side.shards) == (2, 2)
    # Measured on one GPU: four take a fourth.
    assert shapes(LLAMA_70B, 8192, SITE, RUN)[0].total_s == 90 + 36_000 / 4 / 4


def test_a_model_that_no_node_holds() -> None:
    """947 GB: 13.9 GPUs, so two nodes of 8."""
    found = shapes(LLAMA_405B, 8192, SITE, RUN, measured_gpus=16)
    words = "weights and cache want 14 GPUs, and a node has 8 to divide them among"
    assert [shape.problem for shape in found[:2]] == [words, words]
    over = Shape("nodes per engine", 8, 1, 2, 16, 1, 4, 4 * (90 + 9000.0))
    assert found[2] == over == best(found, whole_nodes=False)
    few = shapes(LLAMA_405B, 8192, replace(SITE, free_gpus=8), RUN)
    assert few[2].problem == "a job takes 16 GPUs, 8 are free"
    assert best(few, whole_nodes=False) is None


def test_a_server_is_taken_where_one_runs_or_where_nodes_have_no_gpu() -> None:
    served = shapes(LLAMA_405B, 8192, replace(SITE, served=True), RUN)
    assert best(served, whole_nodes=True) == Shape("endpoint")
    none = shapes(LLAMA_8B, 8192, replace(SITE, gpus_per_node=0, free_gpus=0), RUN)
    assert [shape.problem for shape in none[:3]] == ["nodes have no GPU"] * 3


def test_a_limit_too_short_to_load_the_model() -> None:
    (one, *_) = shapes(LLAMA_8B, 8192, replace(SITE, limit_s=100), RUN)
    assert one.problem.startswith("loading takes 90 s of a limit of 100 s")


def test_the_table() -> None:
    table = shape_table(shapes(LLAMA_405B, 8192, SITE, RUN, 16), whole_nodes=False)
    assert table.splitlines()[4:] == [
        "| take | nodes per engine | tensor_parallel=8 nodes_per_engine=2 | 16 | 1 | 4 | 10.10 h |",
        "|  | endpoint | no: no server of the model runs | | | | |",
    ]


def ask(repo: Path, model: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    script = repo / "workflow/scripts/choose_fill_shards.py"
    words = ["--skeletons", "1000", "--model", model, *map(str, arguments)]
    return subprocess.run([sys.executable, script, *words], capture_output=True, text=True)


def test_the_table_as_a_user_gets_it_before_anything_is_measured(
    repo: Path, tmp_path: Path
) -> None:
    config = {"num_attention_heads": 4, "num_hidden_layers": 2, "head_dim": 64}
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1000}))
    (tmp_path / "model.safetensors").write_bytes(b"x" * 10**6)
    declared = ["--tokens-per-second", 10, "--tokens-per-skeleton", 36, "--load-seconds", 0]
    done = ask(repo, tmp_path, *declared, "--hours", 4, "--free-gpus", 2, "--gpus-per-node", 2)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (
        f"{tmp_path.name}: weights 0.0 GB, cache 2048 bytes a token; 0.1 GB with 32 requests of"
        " 1000 tokens" in lines
    )
    assert "time limit 4 h, 2 GPUs free:" in lines
    assert lines[-4] == "| take | shard per engine | the defaults | 1 | 2 | 2 | 0.50 h |"
    assert lines[-3] == "|  | engines per job | engines_per_job=2 | 2 | 2 | 1 | 0.50 h |"
    failed = ask(repo, tmp_path, "--tokens-per-second", 10)
    assert failed.returncode == 1 and "give stats files, or --tokens-per-second" in failed.stderr


@pytest.mark.parametrize("bad", ["--tokens-per-second", "--max-model-len", "--measured-gpus"])
def test_numbers_that_cannot_be(repo: Path, tmp_path: Path, bad: str) -> None:
    assert ask(repo, tmp_path, bad, 0).returncode == 2
