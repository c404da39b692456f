"""The test cluster itself: real, private, and gone afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.slurm import cluster as slurm
from tests.slurm.cluster import Cluster, ClusterError, wait_until
from tests.slurm.cluster_conf import parse_fields

pytestmark = pytest.mark.slurm


def test_three_nodes_with_two_gpus_each(cluster: Cluster) -> None:
    nodes = cluster.run(
        ["sinfo", "--noheader", "--Node", "--partition=cpu", "--format=%N %G %c"]
    ).stdout.split("\n")
    assert [line.strip() for line in nodes if line] == [
        "n1 gpu:a100:2 8",
        "n2 gpu:h100:2 8",
        "n3 gpu:h100:2 8",
    ]


def test_the_hosts_own_slurm_is_out_of_reach(cluster: Cluster) -> None:
    host = sorted(entry.name for entry in Path("/etc/slurm").iterdir())
    assert cluster.run(["ls", "/etc/slurm"]).stdout.split() == ["gres.conf", "slurm.conf"]
    assert sorted(entry.name for entry in Path("/etc/slurm").iterdir()) == host
    assert cluster.env({"A": "b"})["A"] == "b"
    # The commands of the tests never see another cluster's variables, whatever the shell that
    # started pytest holds.
    assert not [key for key in cluster.env() if key.startswith(("SLURM", "SBATCH_", "SRUN_"))]


def test_nothing_is_left_of_a_stopped_cluster() -> None:
    reason = slurm.unavailable()
    if reason:
        pytest.skip(f"no SLURM cluster can be started here: {reason}")
    with slurm.start() as short_lived:
        directory = short_lived.directory
        here = os.readlink("/proc/self/ns/pid")
        assert short_lived.run(["readlink", "/proc/self/ns/pid"]).stdout.strip() != here
        short_lived.run(["sbatch", "--output=/dev/null", "--wrap", "sleep 600"])
        daemons = [
            pid
            for pid in Path("/proc").iterdir()
            if pid.name.isdigit() and str(directory) in environment(pid)
        ]
    assert not directory.exists()
    assert [pid for pid in daemons if pid.exists()] == []


def environment(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:  # ended in between
        return ""


def test_a_killed_node_goes_down_with_its_jobs_and_comes_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    output = tmp_path / "job.out"
    command = [
        "sbatch",
        "--parsable",
        "--no-requeue",
        "--nodelist=n2",
        f"--output={output}",
        "--wrap",
        "echo started; sleep 300; echo survived",
    ]
    job = cluster.run(command).stdout.strip()
    wait_until(lambda: output.exists() and "started" in output.read_text(), 30, "the job to start")
    cluster.kill_node("n2")
    wait_until(
        lambda: cluster.jobs()[job]["JobState"] == "NODE_FAIL",
        90,
        "the controller to notice the dead node",
        lambda: cluster.log("slurmctld"),
    )
    cluster.start_node("n2")
    assert "survived" not in output.read_text()


def test_a_job_above_its_memory_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    output = tmp_path / "job.out"
    hog = "python3 -c 'x = bytearray(500_000_000); import time; time.sleep(60); print(1)'"
    job = cluster.run(
        ["sbatch", "--parsable", "--mem=100", f"--output={output}", "--wrap", hog]
    ).stdout.strip()
    wait_until(
        lambda: cluster.jobs()[job]["JobState"] in {"FAILED", "OUT_OF_MEMORY"},
        60,
        "the job's end",
        lambda: cluster.log("slurmd.n1"),
    )
    assert "memory limit" in output.read_text()


def test_a_failing_command_is_an_error_that_shows_its_output(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="Invalid job id specified"):
        cluster.run(["scontrol", "show", "job", "999999"])


def test_fields_of_scontrol() -> None:
    block = "JobId=3 JobName=a\n   Comment=rule_x_wildcards_1 of 4\n"
    block += (
        "   TRES=cpu=4,gres/gpu=1\n   JOB_GRES=gpu:a100:1\n     Nodes=n1 GRES=gpu:a100:1(IDX:0)"
    )
    fields = parse_fields(block)
    assert fields["JobId"] == "3"
    assert fields["Comment"] == "rule_x_wildcards_1 of 4"
    assert fields["TRES"] == "cpu=4,gres/gpu=1"
    assert fields["GRES"] == "gpu:a100:1(IDX:0)"
