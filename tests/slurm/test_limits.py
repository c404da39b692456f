"""Jobs that hit their limits: the time limit once, the memory limit always."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.pipeline import SMALL_FILL, Pipeline
from tests.slurm.session import NewSession

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

TRACES = "traces/fujitsu_b4_ds.jsonl"


def test_a_job_that_exceeds_its_time_limit_gets_more_and_resumes(
    cluster: Cluster, new_session: NewSession, profiles: Path, repo: Path, demo_model: Path
) -> None:
    """SLURM counts time limits in minutes, and looks at them once a minute: the first try has one,
    for work of more than two.
    """
    session = new_session(cluster, "", profiles / "slurm", profiles / "slurm-ci")
    session.arguments += ["--set-resources", "fill_shard:runtime=1 if attempt == 1 else 30"]
    work = {**SMALL_FILL, "attempts": 4}
    pipeline = Pipeline(session, repo, demo_model, **work, limit=20, fill_shards=1)
    run = session.spawn(pipeline.data / TRACES)
    pipeline.wait_for_progress("0-of-1")
    first = pipeline.job_of("0-of-1")
    assert first["TimeLimit"] == "00:01:00"
    assert run.wait(600) == 0, run.text()[-4000:]
    jobs = cluster.jobs()
    second = pipeline.job_of("0-of-1")
    assert (jobs[first["JobId"]]["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert second["JobId"] != first["JobId"]
    assert second["TimeLimit"] == "00:30:00"
    told = re.findall(rf"SLURM-job '{first['JobId']}' failed, SLURM status is: '(\w+)'", run.text())
    assert told == ["TIMEOUT"], run.text()[-4000:]
    pipeline.check_every_skeleton_once()
    pipeline.check_nothing_generated_twice()
    reused = [taken_over(pipeline.slurm_log(job["JobId"]).read_text()) for job in (first, second)]
    assert reused[0] == 0 and reused[1] > 0


def taken_over(log: str) -> int:
    """How many stored completions a fill job found when it began."""
    (count,) = re.findall(r"wanted; (\d+) stored completions taken over", log)
    return int(count)


def test_a_shard_that_always_runs_out_of_memory(
    cluster: Cluster, new_session: NewSession, profiles: Path, repo: Path, demo_model: Path
) -> None:
    """The error names rule, shard, job and log; the other shard's work is kept, and a later run
    needs only the failed one. A try that asks for more than there is asks for less.
    """
    session = new_session(cluster, "", profiles / "slurm", profiles / "slurm-ci")
    session.arguments += [
        "--set-resources",
        # The second try asks for more than any node has.
        "fill_shard:mem_mb=8000 if wildcards.shard == '0' else 300 if attempt == 1 else 10000000",
        "--retries",
        "1",
    ]
    pipeline = Pipeline(session, repo, demo_model, **SMALL_FILL, limit=8, fill_shards=2)
    output = session.run(pipeline.data / TRACES, check=False, seconds=400)
    jobs = [job for job in cluster.jobs_of("fill_shard") if pipeline.logs_hold(job["JobId"])]
    killed = [job for job in jobs if job["Comment"].endswith("_1_2")]
    assert len(killed) == 2 and {job["JobState"] for job in killed} <= {"FAILED", "OUT_OF_MEMORY"}
    assert "another try of fill_shard with 10000000 MB of memory, so it asks for 300 MB" in output
    last = killed[-1]["JobId"]
    assert "Error in rule fill_shard" in output
    assert "shards/fujitsu_b4/1-of-2.jsonl" in output
    assert f"external_jobid: {last}" in output
    slurm_log = pipeline.slurm_log(last)
    assert slurm_log == pipeline.logs / "rule_fill_shard" / "1_2" / f"{last}.log"
    assert (
        str(slurm_log) in output
        and str(pipeline.logs / "fill_shard" / "fujitsu_b4" / "1-of-2.log") in output
    )
    assert "memory limit" in slurm_log.read_text()
    assert "Complete log" in output or "job execution failed" in output
    published = sorted(
        path.name for path in (pipeline.data / "fill" / "shards" / "fujitsu_b4").iterdir()
    )
    assert published == ["0-of-2.jsonl"]
    assert not (pipeline.data / TRACES).exists()

    # The cure: more memory.
    session.arguments[session.arguments.index("--set-resources") + 1] = "fill_shard:mem_mb=8000"
    before = pipeline.stored()
    session.run(pipeline.data / TRACES)
    assert (
        len([job for job in cluster.jobs_of("fill_shard") if pipeline.logs_hold(job["JobId"])])
        == len(jobs) + 1
    )
    pipeline.check_every_skeleton_once()
    pipeline.check_nothing_generated_twice(before)
