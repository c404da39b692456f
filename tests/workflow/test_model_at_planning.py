"""What a dry run and a run say about the model before any job starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.command import Snakemake
from tests.workflow.plans import planned_jobs

pytestmark = pytest.mark.workflow


@pytest.fixture
def inputs(tmp_path: Path, repo: Path, demo_model: Path) -> dict[str, object]:
    """A run of the demo's B4 records with its model."""
    return {
        "fujitsu_b4_path": repo / "config/demo/fujitsu_b4.jsonl",
        "output_base": tmp_path / "data",
        "log_dir": tmp_path / "logs",
        "cache_dir": tmp_path / "cache",
        "model": demo_model,
        "tokenizer": demo_model,
    }


def test_a_dry_run_describes_a_model_that_is_there(
    snakemake: Snakemake, inputs: dict[str, object]
) -> None:
    run = snakemake("-n", "fill", config=inputs)
    assert "context 8192 tokens, weights 0.3 GiB" in run.output
    assert "This run would fail" not in run.output


def test_a_dry_run_without_model_and_tokenizer_plans_and_says_last_that_it_would_fail(
    snakemake: Snakemake, inputs: dict[str, object]
) -> None:
    elsewhere = inputs | {"model": "org/model", "tokenizer": "org/tokenizer"}
    run = snakemake("-n", config=elsewhere)
    assert planned_jobs(run.output)["fill_shard"] == 1
    told = run.output[run.output.index("This run would fail") :]
    assert "make cache-model MODEL=org/model" in told and "hf download org/tokenizer" in told
    assert "Traceback" not in run.output and told.count("This run would fail") == 2
    assert "This run would fail" not in snakemake("-n", "load", config=elsewhere).output


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_tokens": 9000}, "max_tokens: 9000 leaves no room"),
        ({"engine_args": "{max_seqs: 1}"}, "'max_seqs' is no argument of vLLM"),
        ({"chat_template": "./none.jinja"}, "none.jinja"),
    ],
)
def test_a_wrong_setting_stops_a_dry_run(
    snakemake: Snakemake, inputs: dict[str, object], wrong: dict[str, object], words: str
) -> None:
    run = snakemake("-n", "fill", config=inputs | wrong, check=False)
    assert run.status != 0 and words in run.output and "Traceback" not in run.output
    snakemake("-n", "load", config=inputs | wrong)


def test_a_run_without_its_model_stops_before_its_first_job(
    snakemake: Snakemake, inputs: dict[str, object], tmp_path: Path
) -> None:
    run = snakemake(
        *("--nolock", "--profile", "profiles/local", "fill"),
        config=inputs | {"model": "org/model"},
        check=False,
    )
    assert run.status != 0 and "make cache-model MODEL=org/model" in run.output
    assert not (tmp_path / "data/traces").exists()
