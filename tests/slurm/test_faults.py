"""What goes wrong on clusters, done to running fill shards: each time the workflow ends complete,
with no record twice and none missing.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.cluster import Background, Cluster, wait_until
from tests.slurm.pipeline import SMALL_FILL, Pipeline
from tests.slurm.session import NewSession

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

SHARDS = 2
VICTIM = f"0-of-{SHARDS}"
TRACES = "traces/fujitsu_b4_ds.jsonl"
WAITS = "another job works on these skeletons"


@pytest.fixture
def pipeline(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    new_session: NewSession,
    profiles: Path,
    repo: Path,
    demo_model: Path,
) -> Pipeline:
    """Two shards with enough to do to be interrupted half-way; a test's parameter holds
    configuration keys of its own.
    """
    session = new_session(cluster, "", profiles / "slurm", profiles / "slurm-ci")
    config = {**SMALL_FILL, **getattr(request, "param", {})}
    return Pipeline(session, repo, demo_model, **config, fill_shards=SHARDS, limit=16)


def start(pipeline: Pipeline, *arguments: str) -> Background:
    """Start the fill stage and return once the first shard has stored something and goes on
    generating.
    """
    run = pipeline.session.spawn(pipeline.data / TRACES, *arguments)
    pipeline.wait_for_progress(VICTIM)
    return run


def finish(pipeline: Pipeline, run: Background, before: list[Any]) -> None:
    status = run.wait(300)
    assert status == 0, run.text()[-4000:]
    pipeline.check_every_skeleton_once()
    pipeline.check_nothing_generated_twice(before)


def ended(cluster: Cluster, job: str) -> bool:
    return cluster.jobs()[job]["JobState"] not in {"RUNNING", "COMPLETING"}


# A job that works on has more to do than fits into the seconds until the controller misses its
# node.
@pytest.mark.parametrize(
    ("pipeline", "jobs_too"),
    [({}, True), ({"max_tokens": 64}, False)],
    indirect=["pipeline"],
    ids=["power lost", "only slurmd killed, the job works on"],
)
def test_a_node_that_dies_in_the_middle_of_a_shard(
    pipeline: Pipeline, cluster: Cluster, jobs_too: bool
) -> None:
    """Where the node itself lives on out of SLURM's reach, the requeued job leaves the shard to its
    first try as long as that works on it.
    """
    run = start(pipeline)
    victim = pipeline.job_of(VICTIM)
    before = pipeline.stored()
    cluster.kill_node(victim["NodeList"], jobs_too=jobs_too)
    try:
        wait_until(
            lambda: cluster.node_state(victim["NodeList"]).startswith("DOWN"),
            60,
            "the controller to give the node up",
        )
        finish(pipeline, run, before)
    finally:
        cluster.start_node(victim["NodeList"])
    # SLURM put the job back into the queue itself: the same id on another node, not a second job
    # beside it.
    again = cluster.jobs()[victim["JobId"]]
    assert (again["JobState"], again["Restarts"]) == ("COMPLETED", "1")
    assert again["NodeList"] != victim["NodeList"]
    assert pipeline.job_of(VICTIM)["JobId"] == victim["JobId"]


def test_a_cancelled_job(pipeline: Pipeline, cluster: Cluster) -> None:
    run = start(pipeline)
    victim = pipeline.job_of(VICTIM)
    cluster.run(["scancel", victim["JobId"]])
    wait_until(lambda: ended(cluster, victim["JobId"]), 60, "the job's end")
    before = pipeline.stored()
    finish(pipeline, run, before)
    retry = pipeline.job_of(VICTIM)
    assert retry["JobId"] != victim["JobId"]
    assert memory_mb(retry) == 2 * memory_mb(victim)


def test_a_job_that_is_warned_goes_on_under_its_id(pipeline: Pipeline, cluster: Cluster) -> None:
    """A warning costs no try: the run has none to give away."""
    run = start(pipeline, "--retries", "0")
    victim = pipeline.job_of(VICTIM)
    cluster.run(["scancel", "--signal=USR1", victim["JobId"]])
    wait_until(
        lambda: cluster.jobs()[victim["JobId"]]["Restarts"] == "1",
        60,
        "the job to be back in the queue",
        lambda: cluster.log("slurmctld"),
    )
    finish(pipeline, run, pipeline.stored())
    again = cluster.jobs()[victim["JobId"]]
    assert (again["JobState"], again["Restarts"]) == ("COMPLETED", "1")
    assert pipeline.job_of(VICTIM)["JobId"] == victim["JobId"]


def test_two_shards_killed_at_once(pipeline: Pipeline, cluster: Cluster) -> None:
    run = start(pipeline)
    pipeline.wait_for_progress(f"1-of-{SHARDS}")
    jobs = [pipeline.job_of(f"{shard}-of-{SHARDS}")["JobId"] for shard in range(SHARDS)]
    before = pipeline.stored()
    cluster.run(["scancel", "--signal=KILL", "--full", *jobs])
    finish(pipeline, run, before)


def test_a_job_requeued_and_held_while_its_node_drains(
    pipeline: Pipeline, cluster: Cluster
) -> None:
    run = start(pipeline)
    victim = pipeline.job_of(VICTIM)
    before = pipeline.stored()
    node = f"NodeName={victim['NodeList']}"
    cluster.run(["scontrol", "update", node, "State=DRAIN", "Reason=maintenance"])
    try:
        cluster.run(["scontrol", "requeuehold", victim["JobId"]])
        wait_until(
            lambda: cluster.jobs()[victim["JobId"]]["JobState"] == "PENDING",
            60,
            "the job to be held in the queue",
            lambda: cluster.log("slurmctld"),
        )
        cluster.run(["scontrol", "release", victim["JobId"]])
        finish(pipeline, run, before)
    finally:
        cluster.run(["scontrol", "update", node, "State=RESUME"])
    again = cluster.jobs()[victim["JobId"]]
    assert (again["JobState"], again["Restarts"]) == ("COMPLETED", "1")
    assert again["NodeList"] != victim["NodeList"]


def test_a_job_pushed_off_its_node_by_one_of_higher_priority(
    pipeline: Pipeline, cluster: Cluster
) -> None:
    run = start(pipeline)
    victim = pipeline.job_of(VICTIM)
    before = pipeline.stored()
    node = victim["NodeList"]
    urgent = [
        "sbatch",
        "--parsable",
        "--partition=urgent",
        f"--nodelist={node}",
        "--exclusive",
        "--mem=0",
        "--output=/dev/null",
        "--wrap",
        "sleep 8",
    ]
    cluster.run(urgent)
    wait_until(
        lambda: cluster.jobs()[victim["JobId"]]["Restarts"] == "1",
        60,
        "the job to be pre-empted",
        lambda: cluster.log("slurmctld"),
    )
    finish(pipeline, run, before)
    again = cluster.jobs()[victim["JobId"]]
    assert (again["JobState"], again["Restarts"]) == ("COMPLETED", "1")
    assert pipeline.job_of(VICTIM)["JobId"] == victim["JobId"]


def test_a_killed_snakemake_and_a_restart(pipeline: Pipeline, cluster: Cluster) -> None:
    run = start(pipeline)
    victim = pipeline.job_of(VICTIM)
    run.kill(signal.SIGKILL)
    run.wait(20)
    # Its jobs live on; a second Snakemake must not start before they have ended, and the lock of
    # the first says so.
    refused = pipeline.session.run(pipeline.data / TRACES, check=False)
    assert "Directory cannot be locked" in refused
    cluster.run(["scancel", f"--name={victim['JobName']}"])
    wait_until(lambda: ended(cluster, victim["JobId"]), 60, "the end of the orphaned job")
    before = pipeline.stored()
    pipeline.session.run("--unlock")
    finish(pipeline, pipeline.session.spawn(pipeline.data / TRACES), before)


# More work than is done while a new run starts.
@pytest.mark.parametrize("pipeline", [{"max_tokens": 64}], indirect=True)
def test_a_new_run_waits_for_the_jobs_of_a_killed_one(pipeline: Pipeline) -> None:
    """Under another division into shards: a job of the killed run works on skeletons of several of
    the new run's shards.
    """
    run = start(pipeline)
    before = pipeline.stored()
    run.kill(signal.SIGKILL)
    run.wait(20)
    pipeline.session.run("--unlock")
    pipeline.session.arguments = [
        word.replace(f"fill_shards={SHARDS}", "fill_shards=3")
        for word in pipeline.session.arguments
    ]
    again = pipeline.session.spawn(pipeline.data / TRACES)
    finish(pipeline, again, before)
    waited = [path for path in pipeline.logs.rglob("*-of-3.log") if WAITS in path.read_text()]
    assert waited, pipeline.tail()


def test_an_interrupted_snakemake_takes_its_jobs_along(
    pipeline: Pipeline, cluster: Cluster
) -> None:
    run = start(pipeline)
    victim = pipeline.job_of(VICTIM)
    run.kill(signal.SIGINT)
    assert run.wait(60) != 0
    wait_until(
        lambda: cluster.jobs()[victim["JobId"]]["JobState"] == "CANCELLED",
        30,
        "the job to be cancelled",
    )
    finish(pipeline, pipeline.session.spawn(pipeline.data / TRACES), pipeline.stored())


def memory_mb(job: dict[str, str]) -> int:
    """The memory of a job in scontrol's TRES, which counts in M or G."""
    text = dict(part.split("=") for part in job["TRES"].split(","))["mem"]
    return round(float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]])
