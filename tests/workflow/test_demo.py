"""The demo end to end: a real model, a real tokenizer, real vLLM on the CPU; then what a second run
does and does not do.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.jsonl import read_records
from cbdata.lossmask.masks import make_mask
from cbdata.lossmask.registry import load_registry
from cbdata.schemas import first_error
from cbdata.tools import load_tool_schema
from tests.ids_oracle import IdsOracle, weights
from tests.workflow.command import Snakemake
from tests.workflow.plans import planned_jobs

pytestmark = [pytest.mark.workflow, pytest.mark.vllm]

NAMES = ["fujitsu_b4_ds", "fujitsu_b4_dr", "agentdojo_complete"]
TOOLS = "configs/tool_schemas/demo_v1.json"
DEMO = ("--profile", "profiles/local", "--configfile", "config/demo/config.yaml")


def rows(path: Path) -> list[dict[str, Any]]:
    return [record for _, record in read_records(path)]


class Demo:
    """A finished run of the demo, with its own copy of the raw files so that they can
    be touched.
    """

    def __init__(self, folder: Path, snakemake: Snakemake, repo: Path) -> None:
        self.data, self.snakemake = folder / "data", snakemake
        self.raw = folder / "fujitsu_b4.jsonl"
        self.raw.write_bytes((repo / "config/demo/fujitsu_b4.jsonl").read_bytes())
        self.config = {
            "output_base": self.data,
            "log_dir": folder / "logs",
            "fujitsu_b4_path": self.raw,
        }
        self.logs = folder / "logs"

    def run(self, *arguments: str, **config: object) -> str:
        return self.snakemake(*arguments, *DEMO, config=self.config | config).output

    def plan(self, **config: object) -> dict[str, int]:
        return planned_jobs(self.run("-n", **config))


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake, repo: Path, demo_model: Path
) -> Demo:
    run = Demo(tmp_path_factory.mktemp("demo"), snakemake, repo)
    run.run()
    return run


def test_at_least_five_rows_of_each_kind(demo: Demo) -> None:
    assert len(rows(demo.data / "lossmasks/fujitsu_b4_ds.jsonl")) >= 5
    assert len(rows(demo.data / "lossmasks/fujitsu_b4_dr.jsonl")) >= 5


def test_every_file_is_valid_against_its_schema(demo: Demo) -> None:
    checked = 0
    for folder, schema in [
        ("traces", "trace_v1"),
        ("renders", "render_v1"),
        ("lossmasks", "lossmask_v1"),
        ("rejects/*", "reject_v1"),
    ]:
        for path in sorted(demo.data.glob(f"{folder}/*.jsonl")):
            for row in rows(path):
                assert first_error(schema, row) is None, path
                checked += 1
    for path in sorted(demo.data.glob("stats/*/*.json")):
        assert first_error("stats_v1", orjson.loads(path.read_bytes())) is None
    assert checked > 50
    assert {path.stem for path in demo.data.glob("traces/*.jsonl")} == {
        "fujitsu_b4_skeletons",
        *NAMES,
    }


def test_harmful_rows_called_the_target_and_benign_rows_the_expected_tool(demo: Demo) -> None:
    for row in rows(demo.data / "traces/fujitsu_b4_ds.jsonl"):
        attack = row["tool_attack"]
        assert attack["observed_tool"] == attack["simulated_tool"] != attack["expected_tool"]
        assert row["labels"]["category"] == "harmful"
    for row in rows(demo.data / "traces/fujitsu_b4_dr.jsonl"):
        assert row["tool_attack"]["observed_tool"] == row["tool_attack"]["expected_tool"]
        assert row["labels"]["category"] == "benign"


def test_twins_point_at_each_other(demo: Demo) -> None:
    ds = {row["id"]: row for row in rows(demo.data / "traces/fujitsu_b4_ds.jsonl")}
    dr = {row["id"]: row for row in rows(demo.data / "traces/fujitsu_b4_dr.jsonl")}
    parents = {row["links"]["parent_trace_ids"][0]: key for key, row in dr.items()}
    twins = 0
    for key, row in ds.items():
        twin = parents.get(row["links"]["parent_trace_ids"][0])
        assert row["links"].get("paired_trace_id") == twin
        if twin:
            assert dr[twin]["links"]["paired_trace_id"] == key
            twins += 1
    assert twins >= 1


def test_renders_hold_the_prompt_that_the_model_saw(demo: Demo) -> None:
    for name in ("fujitsu_b4_ds", "fujitsu_b4_dr"):
        prompts = {
            row["id"]: row["raw_metadata"]["generation"]["prompt_sha256"]
            for row in rows(demo.data / f"traces/{name}.jsonl")
        }
        renders = rows(demo.data / f"renders/{name}.jsonl")
        assert renders
        assert [render["prompt"]["sha256"] for render in renders] == [
            prompts[render["trace_id"]] for render in renders
        ]


@pytest.mark.parametrize("backend", ["vllm", "transformers"])
def test_completed_rows_hold_the_engine_s_ids_and_masks_follow_from_these_alone(
    backend: str,
    demo: Demo,
    demo_model: Path,
    tmp_path: Path,
    snakemake: Snakemake,
    repo: Path,
) -> None:
    if backend == "transformers":
        demo = Demo(tmp_path, snakemake, repo)
        demo.run("lossmask", use_vllm=False, limit=10, attempts=1)
    tools = [each["function"]["name"] for each in load_tool_schema(repo / TOOLS).tools]
    wrote = {
        (row["trace_id"], row["mode"], row["attempt"]): row["token_ids"]
        for path in (demo.data / "fill/progress/fujitsu_b4").glob("*.jsonl")
        for row in rows(path)
        if row["backend"] == backend
    }
    oracle, registry, checked = IdsOracle(demo_model), load_registry(), 0
    for mode in ("ds", "dr"):
        name = f"fujitsu_b4_{mode}.jsonl"
        traces = {row["id"]: row for row in rows(demo.data / "traces" / name)}
        masks = {row["render_id"]: row for row in rows(demo.data / "lossmasks" / name)}
        for render in rows(demo.data / "renders" / name):
            trace = traces[render["trace_id"]]
            attempt = trace["raw_metadata"]["generation"]["attempt"]
            own = wrote[trace["links"]["parent_trace_ids"][0], mode, attempt]
            start, ids = render["prompt"]["length"], render["input_ids"]
            assert (ids[start:], render["on_policy"]) == (own, True)
            injected = trace["tool_attack"]["injection_text"] if mode == "ds" else None
            found = oracle.find(ids, start, tools, injected)
            expected = weights(found)
            for policy, wanted in expected.items():
                mask = make_mask(render, registry.bind(policy).layers)
                assert mask.weights() == wanted, (policy, trace["id"])
            main = masks[render["render_id"]]
            assert main["loss_mask"] == expected[main["policy_id"]]
            checked += 1
    assert checked >= 3  # ten skeletons with transformers, all of them with vLLM
    details = orjson.loads((demo.data / "stats/render/fujitsu_b4_ds.json").read_bytes())["details"]
    assert details["on_policy"] == len(rows(demo.data / "renders/fujitsu_b4_ds.jsonl"))


def test_no_record_is_lost(demo: Demo, repo: Path) -> None:
    summary = orjson.loads((demo.data / "stats/summary.json").read_bytes())
    assert summary["conserved"] is True
    by_key = {(row["stage"], row["name"]): row for row in summary["stages"]}
    raw_lines = len(demo.raw.read_bytes().splitlines())
    assert by_key["etl_a", "fujitsu_b4_skeletons"]["records_in"] == raw_lines
    skeletons = by_key["etl_a", "fujitsu_b4_skeletons"]["records_out"]
    assert (
        by_key["fill", "fujitsu_b4_ds"]["records_in"]
        == by_key["fill", "fujitsu_b4_dr"]["records_in"]
        == skeletons
    )
    table = (demo.data / "stats/summary.txt").read_text()
    assert "trained tokens" in table and "Rejected by reason:" in table
    own, total = (
        sum(row[key] for row in summary["stages"] if row["stage"] == "render")
        for key in ("on_policy", "records_out")
    )
    assert 0 < own < total
    assert f"the model wrote: {own} of {total} rendered rows" in table
    cached = re.search(
        r"^  fill/fujitsu_b4: ([0-9.]+)% of [0-9,]+ prompt tokens$", table, re.MULTILINE
    )
    # The prompts have the tools and the system prompt in common, nine tenths of each.
    assert cached and 50 < float(cached[1]) < 100


def test_every_rule_left_a_log_and_a_benchmark(demo: Demo) -> None:
    rules = {
        "convert_fujitsu_b4",
        "convert_agentdojo",
        "fill_shard",
        "merge_fill",
        "render_traces",
        "apply_lossmask",
        "check_conservation",
        "build_report",
    }
    assert rules <= {path.name for path in demo.logs.iterdir()}
    assert {path.name for path in (demo.logs / "benchmarks").iterdir()} == rules
    assert "tokens" in next((demo.logs / "fill_shard").rglob("*.log")).read_text()


def test_a_second_run_does_nothing(demo: Demo) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.data.rglob("*") if path.is_file()}
    assert "Nothing to be done" in demo.run()
    assert {
        path: path.stat().st_mtime_ns for path in demo.data.rglob("*") if path.is_file()
    } == before


def test_no_half_file_lies_under_any_name(demo: Demo) -> None:
    assert list(demo.data.rglob("*.part")) == []


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"policy": "completion_only"}, {"apply_lossmask": 3}),
        ({"max_length": 512}, {"render_traces": 3, "apply_lossmask": 3}),
        ({"include_text": True}, {"render_traces": 3, "apply_lossmask": 3}),
        (
            {"temperature_ds": 0.9},
            {"fill_shard": 1, "merge_fill": 1, "render_traces": 2, "apply_lossmask": 2},
        ),
        ({"batch_size": 7, "tensor_parallel": 3, "enforce_eager": False, "max_num_seqs": 9}, {}),
        (
            {"engine_args": "{disable_log_stats: true}"},
            {"fill_shard": 1, "merge_fill": 1, "render_traces": 2, "apply_lossmask": 2},
        ),
    ],
)
def test_a_changed_key_reruns_what_depends_on_it(
    demo: Demo, change: dict[str, object], rules: dict[str, int]
) -> None:
    ends = {"check_conservation": 1, "build_report": 1, "all": 1}
    assert demo.plan(**change) == (rules | ends if rules else {})


def test_touching_the_raw_file_reruns_what_depends_on_it(demo: Demo) -> None:
    stat = demo.raw.stat()
    os.utime(demo.raw)
    try:
        assert demo.plan() == {
            "convert_fujitsu_b4": 1,
            "fill_shard": 1,
            "merge_fill": 1,
            "render_traces": 2,
            "apply_lossmask": 2,
            "check_conservation": 1,
            "build_report": 1,
            "all": 1,
        }
    finally:
        os.utime(demo.raw, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_nothing_is_canned_another_seed_gives_other_rows(
    demo: Demo, tmp_path: Path, repo: Path
) -> None:
    other = Demo(tmp_path, demo.snakemake, repo)
    other.run("fill", seed=1, limit=12)

    def said(run: Demo) -> dict[tuple[str, str], str]:
        found = {}
        for mode in ("ds", "dr"):
            for row in rows(run.data / f"traces/fujitsu_b4_{mode}.jsonl"):
                found[mode, row["links"]["parent_trace_ids"][0]] = row["signal_hints"][
                    "raw_assistant_content"
                ]
        return found

    first, second = said(demo), said(other)
    both = first.keys() & second.keys()
    assert both
    assert any(first[key] != second[key] for key in both)
