"""On a cluster with slurmdbd and MariaDB: job states by sacct, the efficiency report, and a site's
limit on submitted jobs.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.session import NewSession, Session

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("accounting")]

SNAKEFILE = """
import sys

sys.path.append("SCRIPTS")


include: "RULES/patient_slurm.smk"


rule all:
    input: expand("{i}.txt", i=range(COUNT))

rule work:
    output: "{i}.txt"
    resources: mem_mb=1000, runtime=lambda wildcards, attempt: 5 * attempt
    shell: "if [ {wildcards.i} = FAILING ] && ! [ -e failed-once ]; then touch failed-once; exit 3; fi; sleep SECONDS; touch {output}"
"""  # noqa: E501 - embedded text


def make_session(
    new_session: NewSession,
    cluster: Cluster,
    repo: Path,
    directory: Path,
    count: int,
    seconds: int = 1,
    failing: str = "none",
    **changes: object,
) -> Session:
    """The workflow's profile with that of a site with accounting, ``changes`` added.

    :param failing: number of the job that fails on its first try.
    """
    site = {
        "default-resources": {"slurm_account": "def-mygroup", "slurm_partition": "cpu"},
        "slurm-init-seconds-before-status-checks": 2,
        "latency-wait": 15,
        **changes,
    }
    directory.mkdir()
    (directory / "config.yaml").write_text(yaml.safe_dump(site), encoding="utf-8")
    snakefile = (
        SNAKEFILE.replace("COUNT", str(count))
        .replace("SECONDS", str(seconds))
        .replace("FAILING", failing)
        .replace("SCRIPTS", str(repo / "workflow/scripts"))
        .replace("RULES", str(repo / "workflow/rules"))
    )
    return new_session(cluster, snakefile, repo / "profiles/slurm", directory)


def test_sacct_shows_success_and_failure_and_makes_the_report(
    accounting_cluster: Cluster, new_session: NewSession, repo: Path, tmp_path: Path
) -> None:
    session = make_session(
        new_session,
        accounting_cluster,
        repo,
        tmp_path / "site",
        2,
        failing="1",
        **{"slurm-status-command": "sacct"},
    )
    output = session.run()
    run_id = output.split("SLURM run ID: ")[1].split()[0]
    states = accounting_cluster.run(
        ["sacct", "-X", "-n", "-P", "--format=State,Comment,Account", f"--name={run_id}"]
    ).stdout.split()
    assert sorted(states) == [
        "COMPLETED|rule_work_wildcards_0|def-mygroup",
        "COMPLETED|rule_work_wildcards_1|def-mygroup",
        "FAILED|rule_work_wildcards_1|def-mygroup",
    ]
    assert "SLURM status is: 'FAILED'" in output
    (report,) = (session.scratch / "logs").glob("efficiency_report_*.csv")
    with report.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert sorted(row["RuleName"] for row in rows) == [
        "rule_work_wildcards_0",
        "rule_work_wildcards_1",
        "rule_work_wildcards_1",
    ]
    assert {row["RequestedMem_MB"] for row in rows} == {"1000.0"}


def cancelled_and_noticed(session: Session, cluster: Cluster) -> str:
    """Run the session's one job, and cancel it: the run notices and tries again. The job's id."""
    run = session.spawn()
    wait_until(lambda: "submitted with SLURM jobid" in run.text(), 60, "a submitted job", run.text)
    job = run.text().split("submitted with SLURM jobid ")[1].split()[0]
    wait_until(lambda: cluster.jobs()[job]["JobState"] == "RUNNING", 30, "the job to run")
    cluster.run(["scancel", job])
    assert run.wait(150) == 0, run.text()
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in run.text()
    return job


def test_a_cancelled_job_is_noticed_with_squeue(
    accounting_cluster: Cluster, new_session: NewSession, repo: Path, tmp_path: Path
) -> None:
    session = make_session(new_session, accounting_cluster, repo, tmp_path / "site", 1, seconds=20)
    job = cancelled_and_noticed(session, accounting_cluster)
    assert (
        accounting_cluster.run(
            ["sacct", "-X", "-n", "-P", "--format=State", "-j", job]
        ).stdout.strip()
        == "CANCELLED by 0"
    )


@pytest.fixture
def two_jobs_at_most(accounting_cluster: Cluster) -> Iterator[None]:
    limit = ["sacctmgr", "-i", "modify", "user", "root", "where", "account=def-mygroup", "set"]
    accounting_cluster.run([*limit, "MaxSubmitJobs=2"])
    yield
    accounting_cluster.run([*limit, "MaxSubmitJobs=-1"])


@pytest.mark.usefixtures("two_jobs_at_most")
def test_a_job_above_the_sites_limit_is_submitted_later(
    accounting_cluster: Cluster, new_session: NewSession, repo: Path, tmp_path: Path
) -> None:
    """MaxSubmitJobs makes sbatch fail for the job above it, which costs none of its tries; with
    `jobs:` Snakemake keeps below.
    """
    careless = make_session(
        new_session, accounting_cluster, repo, tmp_path / "careless", 3, seconds=8, retries=0
    )
    output = careless.run()
    assert "AssocMaxSubmitJobLimit" in output and "SLURM takes jobs again" in output
    careful = make_session(
        new_session, accounting_cluster, repo, tmp_path / "careful", 3, jobs=2, retries=0
    )
    assert "AssocMaxSubmitJobLimit" not in careful.run()


def test_an_account_that_does_not_exist_ends_the_run(
    accounting_cluster: Cluster, new_session: NewSession, repo: Path, tmp_path: Path
) -> None:
    site = {"slurm_account": "def-nobody", "slurm_partition": "cpu"}
    session = make_session(
        new_session,
        accounting_cluster,
        repo,
        tmp_path / "site",
        3,
        **{"default-resources": site},
    )
    output = session.run(check=False, seconds=60)
    assert "SLURM will take no job of this run" in output
    assert "def-nobody" in output.split("SLURM will take no job of this run")[1]


def test_a_job_that_slurm_forgot_is_known_to_sacct(
    accounting_cluster: Cluster, new_session: NewSession, repo: Path, tmp_path: Path
) -> None:
    """squeue, which the profile asks, does not name it any more; it costs no try."""
    session = make_session(new_session, accounting_cluster, repo, tmp_path / "site", 1)
    session.arguments += ["--retries", "0"]
    session.call_jobs_forgotten_after(5)
    with accounting_cluster.remembering(10):
        run = session.spawn("0.txt")
        run.let_its_job_be_forgotten()
        assert run.wait(120) == 0, run.text()[-4000:]
    assert run.text().count("has been submitted") == 1


def test_a_job_cancelled_by_somebody_is_noticed_with_sacct(
    accounting_cluster: Cluster, new_session: NewSession, repo: Path, tmp_path: Path
) -> None:
    session = make_session(
        new_session,
        accounting_cluster,
        repo,
        tmp_path / "site",
        1,
        seconds=20,
        **{"slurm-status-command": "sacct"},
    )
    cancelled_and_noticed(session, accounting_cluster)
