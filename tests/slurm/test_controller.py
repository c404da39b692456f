"""A controller that goes away in the middle of a run, and submissions that it refuses for a while.

The jobs are small ones of a Snakefile of these tests; the executor is the workflow's own.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Background, Cluster, wait_until
from tests.slurm.session import NewSession, Session

pytestmark = pytest.mark.slurm

SNAKEFILE = """
import sys

sys.path.append("SCRIPTS")


include: "RULES/patient_slurm.smk"


rule all:
    input: expand("{i}.txt", i=range(3))

rule work:
    output: "{i}.txt"
    resources: mem_mb=1000, runtime=5, slurm_partition="PARTITION"
    shell: "echo once >> {wildcards.i}.runs; sleep SECONDS; touch {output}"
"""


def make_session(
    new_session: NewSession, cluster: Cluster, repo: Path, seconds: int, partition: str = "cpu"
) -> Session:
    snakefile = (
        SNAKEFILE.replace("SCRIPTS", str(repo / "workflow/scripts"))
        .replace("RULES", str(repo / "workflow/rules"))
        .replace("SECONDS", str(seconds))
        .replace("PARTITION", partition)
    )
    session = new_session(cluster, snakefile, repo / "profiles/slurm", repo / "profiles/slurm-ci")
    session.arguments += ["--retries", "0", "--slurm-status-attempts", "2"]
    return session


def runs(session: Session) -> list[str]:
    """How often each job ran."""
    return sorted(
        line for path in session.directory.glob("*.runs") for line in path.read_text().split()
    )


def started(session: Session) -> Background:
    """A run all of whose jobs are at work."""
    run = session.spawn()
    wait_until(lambda: len(runs(session)) == 3, 90, "three jobs to run", run.text)
    return run


@pytest.fixture
def controller_back(cluster: Cluster) -> Iterator[None]:
    """Whatever a test does, the next one has a controller."""
    yield
    if not cluster.answers(["scontrol", "ping"]):
        cluster.start_controller()


def go_away(cluster: Cluster, run: Background) -> None:
    """Take the controller away until the run has looked for its jobs in vain."""
    cluster.stop_controller()
    wait_until(lambda: "SLURM does not answer" in run.text(), 240, "a look in vain", run.text)


@pytest.mark.usefixtures("controller_back")
def test_a_run_goes_on_after_the_controller_was_away(
    cluster: Cluster, new_session: NewSession, repo: Path
) -> None:
    session = make_session(new_session, cluster, repo, seconds=45)
    run = started(session)
    go_away(cluster, run)
    cluster.start_controller()
    assert run.wait(200) == 0, run.text()[-4000:]
    assert "SLURM answers again" in run.text()
    assert runs(session) == ["once"] * 3


@pytest.mark.usefixtures("controller_back")
def test_ctrl_c_cancels_the_jobs_once_the_controller_is_back(
    cluster: Cluster, new_session: NewSession, repo: Path
) -> None:
    session = make_session(new_session, cluster, repo, seconds=300)
    run = started(session)
    mine = run.text().split("SLURM run ID: ")[1].split()[0]
    go_away(cluster, run)
    run.kill(signal.SIGINT)
    wait_until(lambda: "does not cancel" in run.text(), 90, "an attempt to cancel", run.text)
    cluster.start_controller()
    assert run.wait(90) != 0
    wait_until(
        lambda: (
            [job["JobState"] for job in cluster.jobs().values() if job["JobName"] == mine]
            == ["CANCELLED"] * 3
        ),
        30,
        "the jobs to be cancelled",
    )


def test_a_job_that_slurm_forgot_before_it_was_asked_is_done_again(
    cluster: Cluster, new_session: NewSession, repo: Path
) -> None:
    """Without accounting nobody knows how it ended: it costs a try, and the run goes on."""
    session = make_session(new_session, cluster, repo, seconds=1)
    session.arguments += ["--retries", "1"]
    session.call_jobs_forgotten_after(5)
    with cluster.remembering(10):
        run = session.spawn("0.txt")
        run.let_its_job_be_forgotten()
    assert run.wait(120) == 0, run.text()[-4000:]
    assert "SLURM knows job" in run.text() and "so it counts as failed" in run.text()
    assert runs(session) == ["once"] * 2


def test_no_job_is_forgotten_where_slurm_forgets_soon_and_keeps_no_accounts(
    cluster: Cluster, new_session: NewSession, repo: Path
) -> None:
    """With the profile's own 65 s to the first look."""
    session = make_session(new_session, cluster, repo, seconds=1)
    session.arguments += ["--slurm-init-seconds-before-status-checks", "65"]
    with cluster.remembering(10):
        run = session.spawn()
        assert run.wait(120) == 0, run.text()[-4000:]
    assert runs(session) == ["once"] * 3


def test_a_partition_that_is_closed_for_a_while_is_waited_for(
    cluster: Cluster, new_session: NewSession, repo: Path
) -> None:
    session = make_session(new_session, cluster, repo, seconds=1)
    state = ["scontrol", "update", "PartitionName=cpu"]
    cluster.run([*state, "State=INACTIVE"])
    try:
        run = session.spawn()
        wait_until(lambda: "takes no further job" in run.text(), 90, "a refused job", run.text)
        time.sleep(8)
    finally:
        cluster.run([*state, "State=UP"])
    assert run.wait(200) == 0, run.text()[-4000:]
    assert "SLURM takes jobs again" in run.text()
    assert runs(session) == ["once"] * 3


def test_a_log_folder_that_sbatch_would_change_ends_the_run(
    cluster: Cluster, new_session: NewSession, repo: Path
) -> None:
    """Its jobs would fail without a word."""
    session = make_session(new_session, cluster, repo, seconds=1)
    session.variables["CB_SCRATCH"] = str(session.directory / "50% \\ full")
    run = session.spawn()
    assert run.wait(60) == 1
    assert "has % and \\ in its name" in run.text() and "submitted" not in run.text()


def test_a_partition_that_does_not_exist_ends_the_run(
    cluster: Cluster, new_session: NewSession, repo: Path
) -> None:
    session = make_session(new_session, cluster, repo, seconds=1, partition="nosuch")
    run = session.spawn()
    assert run.wait(60) == 1
    assert "SLURM will take no job of this run" in run.text()
    assert "invalid partition specified: nosuch" in run.text().lower()
    assert runs(session) == []
