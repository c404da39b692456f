"""The check of one machine: which prompts it sends, what it reports, what it says on failure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cbdata.fill.gpu_check import GpuCheckFailed, Measured, check, check_job, report
from cbdata.fill.job import FillJob
from cbdata.jsonl import read_records
from cbdata.records import FillRun


@pytest.fixture
def stub(job: FillJob, repo: Path, monkeypatch: pytest.MonkeyPatch, demo_model: Path) -> FillJob:
    """A job that the benchmark's stand-in for a model answers at once."""
    monkeypatch.setenv("CB_BACKEND_MODULES", "stub_backend")
    monkeypatch.setenv("PYTHONPATH", str(repo / "benchmarks/slurm_scale/stub"))
    settings = replace(job.settings, backend="stub", model=str(demo_model), mode="ds", attempts=3)
    return replace(job, settings=settings)


def test_the_prompts_are_64_of_the_demo_that_can_all_be_completed(
    job: FillJob, tmp_path: Path
) -> None:
    folder = tmp_path / "check"
    folder.mkdir()
    made = check_job(replace(job, runtime=replace(job.runtime, engines_per_job=4)), folder)
    assert made.runtime == job.runtime, "one engine is looked at"
    skeletons = [record for _, record in read_records(made.sets[0].skeletons)]
    assert len(skeletons) == len({record["id"] for record in skeletons}) == 32
    for record in skeletons:
        assert record["tool_attack"]["simulated_tool"] != record["tool_attack"]["expected_tool"]
        assert record["signal_hints"]["injection_char_span"]
    assert (made.settings.mode, made.settings.attempts) == ("both", 1)
    (part,) = made.sets
    assert Path(part.output).parent == Path(part.progress_dir).parent == folder


RUN: FillRun = {
    "row": "run",
    "shard": 0,
    "shards": 1,
    "generated": 64,
    "reused": 0,
    "prompt_tokens": 32_000,
    "completion_tokens": 6_400,
    "seconds": 32.0,
    "load_seconds": 60.0,
}


@pytest.mark.parametrize(("modes", "hours"), [(2, (3.70, 0.94, 0.25)), (1, (1.86, 0.48, 0.13))])
def test_the_report_reckons_a_whole_run_from_the_speed(
    modes: int, hours: tuple[float, ...]
) -> None:
    # 0.5 s for each completion: 13,246 of them take 1.84 h, two each 3.68 h, and loading 1 min.
    text = report(Measured("an engine", RUN, 2048, "of one GPU"), modes)
    lines = text.splitlines()
    assert lines[0] == "an engine"
    assert "loaded in 60.0 s; 64 completions in 32.0 s: 200 tokens/s written" in text
    assert "1000 tokens/s of prompts" in text and "most memory of one GPU: 2.0 GiB" in text
    found = [line.split() for line in lines if "fill_shards=" in line]
    assert [words[0] for words in found] == ["fill_shards=1", "fill_shards=4", "fill_shards=16"]
    assert [float(words[1]) for words in found] == list(hours)


def test_a_whole_check_with_a_stand_in_for_the_model(stub: FillJob, tmp_path: Path) -> None:
    text = check(replace(stub, log=str(tmp_path / "check.log")), modes=1)
    assert text.startswith("no engine: the answers are written down; tensor_parallel 1")
    assert "64 completions in" in text and "1 completion each" in text


def test_a_check_that_cannot_run_names_its_log(stub: FillJob, tmp_path: Path) -> None:
    log = tmp_path / "check.log"
    broken = replace(stub, log=str(log), settings=replace(stub.settings, model="./nowhere"))
    with pytest.raises(GpuCheckFailed, match=r"status 1; see .*check\.log"):
        check(broken, modes=2)
    assert "no such folder" in log.read_text()
