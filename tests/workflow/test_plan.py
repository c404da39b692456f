"""What a dry run promises: the right jobs, the GPUs of the fill job, and errors that name the key
and the fix.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.workflow.command import Snakemake
from tests.workflow.plans import planned_jobs

pytestmark = pytest.mark.workflow


@pytest.fixture
def inputs(tmp_path: Path, repo: Path) -> dict[str, object]:
    """The demo's raw files under an output folder with nothing in it."""
    return {
        "fujitsu_b4_path": repo / "config/demo/fujitsu_b4.jsonl",
        "agentdojo_path": repo / "config/demo/agentdojo.jsonl",
        "output_base": tmp_path / "data",
        "log_dir": tmp_path / "logs",
    }


def test_the_whole_plan(snakemake: Snakemake, inputs: dict[str, object]) -> None:
    run = snakemake("-n", config=inputs)
    assert planned_jobs(run.output) == {
        "all": 1,
        "convert_fujitsu_b4": 1,
        "convert_agentdojo": 1,
        "fill_shard": 1,
        "merge_fill": 1,
        "render_traces": 3,
        "apply_lossmask": 3,
        "check_conservation": 1,
        "build_report": 1,
    }


def test_render_shards_share_each_trace_file(
    snakemake: Snakemake, inputs: dict[str, object]
) -> None:
    run = snakemake(
        "-n",
        "lossmask",
        config=inputs
        | {
            "fujitsu_b4_path": "null",
            "skip_fill": True,
            "input_traces": "agentdojo_complete",
            "render_shards": 5,
        },
    )
    assert planned_jobs(run.output) == {
        "lossmask": 1,
        "convert_agentdojo": 1,
        "render_part": 5,
        "render_traces": 1,
        "lossmask_part": 5,
        "merge_lossmasks": 1,
    }


@pytest.mark.parametrize(
    ("target", "rules"),
    [
        ("load", {"load", "convert_fujitsu_b4", "convert_agentdojo"}),
        ("fill", {"fill", "convert_fujitsu_b4", "fill_shard", "merge_fill"}),
        (
            "lossmask",
            {
                "lossmask",
                "convert_fujitsu_b4",
                "convert_agentdojo",
                "fill_shard",
                "merge_fill",
                "render_traces",
                "apply_lossmask",
            },
        ),
    ],
)
def test_the_three_stages_are_targets(
    snakemake: Snakemake, inputs: dict[str, object], target: str, rules: set[str]
) -> None:
    assert set(planned_jobs(snakemake("-n", target, config=inputs).output)) == rules


def test_every_output_file_is_a_target(snakemake: Snakemake, inputs: dict[str, object]) -> None:
    base = inputs["output_base"]
    assert set(
        planned_jobs(
            snakemake("-n", f"{base}/traces/fujitsu_b4_skeletons.jsonl", config=inputs).output
        )
    ) == {"convert_fujitsu_b4"}
    assert set(
        planned_jobs(
            snakemake("-n", f"{base}/lossmasks/agentdojo_complete.jsonl", config=inputs).output
        )
    ) == {
        "convert_agentdojo",
        "render_traces",
        "apply_lossmask",
    }


def test_a_trace_file_of_the_user_is_rendered_by_name_or_path(
    snakemake: Snakemake, inputs: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "data" / "traces").mkdir(parents=True)
    (tmp_path / "data" / "traces" / "mine.jsonl").write_text("")
    (tmp_path / "other.jsonl").write_text("")
    by_name = snakemake("-n", f"{inputs['output_base']}/lossmasks/mine.jsonl", config=inputs)
    assert planned_jobs(by_name.output) == {"render_traces": 1, "apply_lossmask": 1}
    by_key = snakemake(
        "-n", "lossmask", config=inputs | {"input_traces": f"mine,{tmp_path}/other.jsonl"}
    )
    assert planned_jobs(by_key.output) == {"lossmask": 1, "render_traces": 2, "apply_lossmask": 2}


@pytest.mark.parametrize(("tensor_parallel", "nodes"), [(1, 1), (4, 2)])
def test_the_slurm_plan_asks_for_the_gpus(
    snakemake: Snakemake, inputs: dict[str, object], tensor_parallel: int, nodes: int
) -> None:
    """By the messages: what a job has been given is in them where it is not the same for all
    (tests/slurm asks SLURM itself).
    """
    shape = {"tensor_parallel": tensor_parallel, "nodes_per_engine": nodes}
    run = snakemake("-n", "--profile", "slurm", config=inputs | shape)
    assert re.findall(
        r"Job \d+: Complete the skeletons of shard 0 of 1 with the model \((\d+) GPU,", run.output
    ) == [str(tensor_parallel * nodes)]
    assert run.output.count("GPU") == 1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"temperture_ds": 0.5}, ["temperture_ds", "did you mean temperature_ds"]),
        ({"batch_size": "lots"}, ["batch_size", "'lots'", "integer"]),
        ({"backend": "os"}, ["backend: 'os' is none of endpoint, transformers, vllm"]),
        (
            {"fujitsu_b4_path": "nowhere.jsonl"},
            [
                "fujitsu_b4_path",
                "nowhere.jsonl",
                "does not exist",
                "Fix: snakemake --config fujitsu_b4_path=",
            ],
        ),
        ({"nodes_per_engine": 2}, ["nodes_per_engine: 2 nodes can only be had of SLURM", "Fix: "]),
        ({"tool_schema": "nowhere.json"}, ["tool_schema", "nowhere.json", "does not exist"]),
    ],
)
def test_a_wrong_configuration_stops_the_run_with_the_fix(
    snakemake: Snakemake, inputs: dict[str, object], config: dict[str, object], words: list[str]
) -> None:
    run = snakemake("-n", config=inputs | config, check=False)
    assert run.status != 0
    for word in words:
        assert word in run.output
    assert "Traceback (most recent call last)" not in run.output


def test_skipped_stages_have_no_rules_and_missing_files_are_named(
    snakemake: Snakemake, inputs: dict[str, object]
) -> None:
    listed = snakemake(
        "--list-rules", config=inputs | {"skip_load": True, "skip_fill": True}
    ).output
    assert "convert_fujitsu_b4" not in listed
    assert "fill_shard" not in listed
    assert "render_traces" in listed
    run = snakemake("-n", config=inputs | {"skip_load": True, "skip_fill": True}, check=False)
    assert run.status != 0
    assert f"{inputs['output_base']}/traces/fujitsu_b4_ds.jsonl" in run.output


def test_looking_at_the_workflow(snakemake: Snakemake, inputs: dict[str, object]) -> None:
    assert "digraph snakemake_dag" in snakemake("--dag", config=inputs).output
    assert '"render_traces"' in snakemake("--rulegraph", config=inputs).output.replace(
        "label = ", ""
    )
    assert "fujitsu_b4_skeletons.jsonl" in snakemake("--summary", config=inputs).output
    targets = re.findall(
        r"^(\w+) \([A-Z].*\.\)$",
        snakemake("--list-target-rules", config=inputs).output,
        re.MULTILINE,
    )
    assert {"all", "load", "fill", "lossmask", "convert_agentdojo", "export_pairs"} <= set(targets)


def test_every_rule_has_a_sentence(snakemake: Snakemake, inputs: dict[str, object]) -> None:
    listed = snakemake("--list-rules", config=inputs).output.splitlines()
    assert [line for line in listed if not re.fullmatch(r"\w+ \([A-Z].*\.\)", line)] == []


def test_no_default_profile(repo: Path) -> None:
    assert not (repo / "profiles/default").exists()
    assert (repo / "slurm").readlink() == Path("profiles/slurm")


def test_demo_data_are_json_lines_of_their_own(repo: Path) -> None:
    lines = (repo / "config/demo/fujitsu_b4.jsonl").read_bytes().splitlines()
    readable = 0
    for line in lines:
        try:
            readable += isinstance(json.loads(line), dict)
        except ValueError:
            continue
    assert 35 <= readable < len(lines) <= 50, (
        "about 40 records, at least one of them broken on purpose"
    )
