"""Which shape of job fits which model and site, reckoned by hand."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbdata.fill.model_size import ModelSize
from cbdata.fill.shapes import (
    Shape,
    Site,
    best,
    bytes_of_each_gpu,
    needed_bytes,
    node_sizes,
    shape_table,
    shapes,
)
from cbdata.fill.sizing import RunCost

LLAMA_8B = ModelSize(16_060_522_496, 131_072, 32, 32, 8)
LLAMA_70B = ModelSize(141_107_412_992, 327_680, 64, 80, 8)
LLAMA_405B = ModelSize(811_706_220_544, 516_096, 128, 126, 8)
PHI_4 = ModelSize(29_319_014_400, 204_800, 40, 40, 10)
QWEN_32B = ModelSize(65_527_752_704, 262_144, 40, 64, 8)
DEEPSEEK_V3 = ModelSize(688_586_727_753, 70_272, 128, 61, 1)
SITE = Site(80e9, 8, 16, whole_nodes=False, served=False, limit_s=4 * 3600)
RUN = RunCost(13_246, 36_000.0, 90.0)
"""Ten hours of one GPU."""


def test_an_engine_needs_its_weights_and_a_cache_for_32_requests() -> None:
    assert needed_bytes(LLAMA_8B, 8192) == 16_060_522_496 + 32 * 8192 * 131_072
    assert node_sizes(LLAMA_8B, 8) == [1, 2, 4, 8]
    assert node_sizes(replace(LLAMA_8B, heads=9, kv_heads=9), 8) == [1, 3]


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (PHI_4, [1, 2, 5, 10]),  # 4 and 8 divide 40 heads, but not the 10 of the cache
        (QWEN_32B, [1, 2, 4, 8]),  # 5 and 10 divide 40 heads, but not the 8 of the cache
        (DEEPSEEK_V3, [1, 2, 4, 8, 16]),
        (replace(LLAMA_8B, kv_heads=1), [1, 2, 4, 8, 16]),
        (replace(LLAMA_8B, kv_heads=2), [1, 2, 4, 8, 16]),
    ],
)
def test_key_value_heads_are_divided_or_copied_whole(model: ModelSize, sizes: list[int]) -> None:
    assert node_sizes(model, 16) == sizes


def test_the_cache_is_divided_by_key_value_heads_and_copied_beyond() -> None:
    cache = 32 * 8192 * 131_072
    assert bytes_of_each_gpu(LLAMA_8B, 8192, 8) == (16_060_522_496 + cache) / 8
    assert bytes_of_each_gpu(LLAMA_8B, 8192, 16) == 16_060_522_496 / 16 + cache / 8
    whole = 32 * 32_768 * 70_272
    assert bytes_of_each_gpu(DEEPSEEK_V3, 32_768, 8) == 688_586_727_753 / 8 + whole


def test_latent_attention_has_its_whole_cache_on_each_gpu() -> None:
    """86.1 GB of weights and 73.7 GB of cache for each of 8 GPUs, of which 119.9 GB count: two
    nodes, which halve both. Divided by 8, cache and weights would seem to fit one.
    """
    site = replace(SITE, gpu_bytes=141e9)
    found = shapes(DEEPSEEK_V3, 32_768, site, RUN, measured_gpus=16)
    said = (
        "with tensor_parallel=8 weights and cache take 159.8 GB of each GPU, which has 119.8 GB for"
        " them"
    )
    assert [shape.problem for shape in found[:2]] == [said, said]
    assert (found[2].tensor_parallel, found[2].nodes_per_engine) == (8, 2)
    assert needed_bytes(DEEPSEEK_V3, 32_768) < 8 * 0.85 * 141e9


def test_a_model_whose_heads_four_gpus_cannot_share() -> None:
    """Phi-4 with 16,384 tokens: 29.3 GB and 107.4 GB, 68.3 GB of each of two GPUs; so five."""
    one = shapes(PHI_4, 16_384, SITE, RUN)[0]
    assert (one.tensor_parallel, one.problem) == (5, "")


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
    """947 GB: 118.4 GB of each of 8 GPUs, so two nodes."""
    found = shapes(LLAMA_405B, 8192, SITE, RUN, measured_gpus=16)
    words = (
        "with tensor_parallel=8 weights and cache take 118.4 GB of each GPU, which has 68.0 GB for"
        " them"
    )
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


def ask(repo: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    script = repo / "workflow/scripts/choose_fill_shards.py"
    words = ["--skeletons", "1000", *map(str, arguments)]
    return subprocess.run([sys.executable, script, *words], capture_output=True, text=True)


DECLARED = ["--tokens-per-second", 10, "--tokens-per-skeleton", 36, "--load-seconds", 0]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    config = {"num_attention_heads": 4, "num_hidden_layers": 2, "head_dim": 64}
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4000}))
    (tmp_path / "model.safetensors").write_bytes(b"x" * 10**6)
    return tmp_path


def test_the_table_as_a_user_gets_it_before_anything_is_measured(repo: Path, model: Path) -> None:
    node = ["--hours", 4, "--free-gpus", 2, "--gpus-per-node", 2]
    done = ask(repo, *DECLARED, *node, "--model", model, "--max-model-len", 1000)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (
        f"{model.name}: weights 0.0 GB, cache 2048 bytes a token; 0.1 GB with 32 requests of"
        " 1000 tokens" in lines
    )
    assert "time limit 4 h, 2 GPUs free:" in lines
    assert lines[-4] == "| take | shard per engine | the defaults | 1 | 2 | 2 | 0.50 h |"
    assert lines[-3] == "|  | engines per job | engines_per_job=2 | 2 | 2 | 1 | 0.50 h |"


def run_main(repo: Path, monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    """The script in this process, which is cheaper."""
    monkeypatch.setattr(
        "sys.argv", ["choose_fill_shards.py", "--skeletons", "1000", *map(str, arguments)]
    )
    try:
        names = runpy.run_path(str(repo / "workflow/scripts/choose_fill_shards.py"))
        return int(names["main"]())
    except SystemExit as end:
        return int(str(end.code))


def test_what_is_missing_is_said(
    repo: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_main(repo, monkeypatch, "--tokens-per-second", 10) == 1
    assert "give stats files, or --tokens-per-second" in capsys.readouterr().err
    too_long = ["--model", model, "--max-model-len", 4001]
    assert run_main(repo, monkeypatch, *DECLARED, *too_long) == 1
    assert "--max-model-len: 4001 is more than the model's own 4000" in capsys.readouterr().err
    assert run_main(repo, monkeypatch, *DECLARED, "--model", model) == 2
    said = capsys.readouterr().err
    assert (
        "--model needs --max-model-len: the longest prompt of your skeletons with its completion,"
        " in tokens (the start of a fill run prints it)" in said
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--tokens-per-second", 0], "--tokens-per-second: 0"),
        (["--max-model-len", 0], "--max-model-len: 0"),
        (["--measured-gpus", 0], "--measured-gpus: 0"),
        (["--gpu-memory", 0], "--gpu-memory: 0"),
        (["--gpu-memory", "nan"], "--gpu-memory: nan"),
        (["--gpu-memory", "inf"], "--gpu-memory: inf"),
        (["--free-gpus", 0], "--free-gpus: 0"),
        (["--free-gpus", -1], "--free-gpus: -1"),
        (["--gpus-per-node", -8], "--gpus-per-node: -8"),
        (["--load-seconds", -1], "--load-seconds: -1"),
        (["--cache-type-bytes", 0], "--cache-type-bytes: invalid choice"),
        (["--cache-type-bytes", -2], "--cache-type-bytes: invalid choice"),
        (["--hours", 4, 0], "--hours: 0"),
        (["--gpus", 0], "--gpus: 0"),
        (["--skeletons", -3], "--skeletons: -3"),
    ],
)
def test_numbers_that_cannot_be(
    repo: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[Any],
    said: str,
) -> None:
    asked = [*DECLARED, "--model", model, "--max-model-len", 1000, *given]
    assert run_main(repo, monkeypatch, *asked) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--load-seconds", 5, "stats.json"], "--load-seconds: only without stats files"),
        ([*DECLARED, "--served"], "--served: only with --model"),
        ([*DECLARED, "--free-gpus", 3], "--free-gpus: only with --model"),
    ],
)
def test_nothing_that_was_given_is_left_out_in_silence(
    repo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[Any],
    said: str,
) -> None:
    assert run_main(repo, monkeypatch, *given) == 2
    assert said in capsys.readouterr().err
