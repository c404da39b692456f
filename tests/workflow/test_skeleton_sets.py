"""Two skeleton sets in one run, with a real engine: B4's records and decision points of agents'
runs, also where a set is added, the run is killed or a skeleton changes. The model's weights are
random, for prompts of 4,000 tokens.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.jsonl import dumps, read_records
from tests.workflow.command import Snakemake
from tests.workflow.plans import planned_jobs
from tests.workflow.random_llama import write_random_llama

pytestmark = pytest.mark.workflow

START_LIMIT_S = 420
SETS = "[fujitsu_b4_skeletons, agentdojo_skeletons]"
STEMS = ("fujitsu_b4", "agentdojo")
DEMO = ("--profile", "profiles/local", "--nolock", "--configfile", "config/demo/config.yaml")


def rows(path: Path) -> list[dict[str, Any]]:
    return [record for _, record in read_records(path)]


class TwoSets:
    """A run in a folder of its own, with its own copy of the raw records."""

    def __init__(self, folder: Path, snakemake: Snakemake, repo: Path, demo_model: Path) -> None:
        self.data, self.logs = folder / "data", folder / "logs"
        self._snakemake, self._repo = snakemake, repo
        self.raw = folder / "b4.jsonl"
        lines = (repo / "config/demo/fujitsu_b4.jsonl").read_bytes().splitlines(keepends=True)
        self.raw.write_bytes(b"".join(lines[:3]))
        # SmolLM2's tokenizer has 49,152 tokens, of which 2 ends a turn.
        special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
        model = write_random_llama(demo_model, folder / "model", 49152, special, 8192)
        self.config: dict[str, object] = {
            "model": model,
            "fujitsu_b4_path": self.raw,
            "output_base": self.data,
            "log_dir": self.logs,
            "use_vllm": False,
            "engine_device": "cpu",
            "decision_points": "injection",
            "dr_context": "restored",
            "limit": 3,
            # One completion after the other, so that a kill comes between two of them.
            "batch_size": 1,
            "attempts": 1,
            "max_tokens": 64,
            "max_model_len": 8192,
        }

    def run(self, *arguments: str, **config: object) -> str:
        return self._snakemake(*arguments, *DEMO, config=self.config | config).output

    def plan(self, *arguments: str, **config: object) -> dict[str, int]:
        return planned_jobs(self.run("-n", *arguments, **config))

    def stored(self, stem: str) -> list[tuple[str, str]]:
        """Trace and mode of every completion that was ever generated for a set."""
        found = []
        for path in (self.data / "fill/progress" / stem).glob("*.jsonl"):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    row = orjson.loads(line)
                    found.append((row["trace_id"], row["mode"]))
        return found

    def kill_when_stored(self, stem: str, count: int, **config: object) -> None:
        """Start the run, and end it with all its processes once a set has so many completions."""
        words = [f"{key}={value}" for key, value in (self.config | config).items()]
        command = [sys.executable, "-m", "snakemake", "fill", *DEMO, "--config", *words]
        process = subprocess.Popen(
            command,
            cwd=self._repo,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_LIMIT_S
        try:
            while len(self.stored(stem)) < count:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def counts(self, name: str) -> dict[str, int]:
        stats: dict[str, Any] = orjson.loads((self.data / f"stats/fill/{name}.json").read_bytes())
        counts: dict[str, int] = stats["counts"]
        return counts


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake, repo: Path, demo_model: Path
) -> TwoSets:
    """A run of one set that was finished, then one of both that was killed and run again."""
    run = TwoSets(tmp_path_factory.mktemp("two_sets"), snakemake, repo, demo_model)
    run.run("fill")
    assert (run.data / "fill/shards/fujitsu_b4/0-of-1.jsonl").is_file()
    assert (run.logs / "fill_shard/fujitsu_b4/0-of-1.log").is_file()
    assert run.plan("fill") == {} and len(run.stored("fujitsu_b4")) == 6
    both = run.plan("fill", skeleton_traces=SETS)
    assert both.pop("fill") == 1
    assert both == {
        "convert_agentdojo": 1,
        "cut_decision_points": 1,
        "fill_shard": 1,
        "merge_fill": 2,
    }
    run.kill_when_stored("agentdojo", 1, skeleton_traces=SETS)
    assert len(run.stored("agentdojo")) < 4
    run.config["skeleton_traces"] = SETS
    run.run("all", "validate")
    return run


def test_nothing_is_generated_twice(made: TwoSets) -> None:
    skeletons = {stem: rows(made.data / f"traces/{stem}_skeletons.jsonl") for stem in STEMS}
    assert [len(skeletons[stem]) for stem in STEMS] == [3, 2]
    for stem in STEMS:
        wanted = {(each["id"], mode) for each in skeletons[stem] for mode in ("ds", "dr")}
        assert Counter(made.stored(stem)) == Counter(wanted)


def test_each_set_has_its_own_files_classes_and_counts(made: TwoSets) -> None:
    for stem in STEMS:
        parents = {each["id"] for each in rows(made.data / f"traces/{stem}_skeletons.jsonl")}
        for mode in ("ds", "dr"):
            traces = rows(made.data / f"traces/{stem}_{mode}.jsonl")
            rejects = rows(made.data / f"rejects/fill/{stem}_{mode}.jsonl")
            sources = [each["links"]["parent_trace_ids"][0] for each in traces]
            sources += [each["record_id"] for each in rejects]
            assert set(sources) == parents and len(sources) == len(parents)
            assert {each["training"]["mixture"]["class_id"] for each in traces} <= {
                f"{stem}/{mode}"
            }
            assert made.counts(f"{stem}_{mode}")["records_in"] == len(parents)
    summary = (made.data / "stats/summary.txt").read_text()
    assert "  fill/agentdojo: not applicable (this engine has none, or does not say)" in summary


def test_every_completion_was_held_to_the_tools_of_its_own_skeleton(made: TwoSets) -> None:
    """In constrained calls of unlike tools nothing is refused, and each begins as a call."""
    for stem in STEMS:
        found = [
            row for path in (made.data / f"fill/shards/{stem}").iterdir() for row in rows(path)
        ]
        outcomes = [row for row in found if "outcomes" in row]
        assert len(outcomes) == len(made.stored(stem))
        for row in outcomes:
            raw = (
                row["raw"]["completion"]
                if row["row"] == "reject"
                else row["trace"]["signal_hints"]["raw_assistant_content"]
            )
            assert raw.startswith('<tool_call>\n{"name": "')


def test_one_job_completed_both_sets_with_one_engine(made: TwoSets) -> None:
    log = (made.logs / "fill_shard/fujitsu_b4_and_1_more/0-of-1.log").read_text()
    assert "fujitsu_b4: 3 skeletons, 6 prompts" in log and "agentdojo: 2 skeletons, 4" in log
    works = [rows(made.data / f"fill/shards/{stem}/0-of-1.jsonl")[-1] for stem in STEMS]
    assert works[0]["load_seconds"] == works[1]["load_seconds"] > 0
    assert [work["reused"] for work in works] == [6, 4 - works[1]["generated"]]


def test_a_skeleton_that_changes_is_the_only_one_that_is_completed_again(made: TwoSets) -> None:
    assert made.plan() == {}
    before = {stem: made.stored(stem) for stem in STEMS}
    records = rows(made.raw)
    records[1]["benign_query"] += " Today."
    records[1]["combined_query"] = records[1]["combined_query"] + " Today."
    made.raw.write_bytes(b"".join(map(dumps, records)))
    plan = made.plan("fill")
    assert (plan["convert_fujitsu_b4"], plan["fill_shard"], plan["merge_fill"]) == (1, 1, 2)
    made.run("fill")
    assert made.stored("agentdojo") == before["agentdojo"]
    new = Counter(made.stored("fujitsu_b4")) - Counter(before["fujitsu_b4"])
    changed = rows(made.data / "traces/fujitsu_b4_skeletons.jsonl")[1]["id"]
    assert new == Counter({(changed, "ds"): 1, (changed, "dr"): 1})
