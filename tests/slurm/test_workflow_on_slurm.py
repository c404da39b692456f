"""The whole demo on the cluster with four fill shards, seen by SLURM and from inside the jobs; and
single files as targets.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.cluster_conf import parse_fields
from tests.slurm.pipeline import Pipeline
from tests.slurm.session import Session

pytestmark = [pytest.mark.slurm, pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

SHARDS = 4
CPU_RULES = {
    "convert_fujitsu_b4",
    "convert_agentdojo",
    "merge_fill",
    "render_traces",
    "apply_lossmask",
    "check_conservation",
    "build_report",
}


@dataclass
class Finished:
    """A run of the whole demo with what was observed meanwhile, job id first."""

    pipeline: Pipeline
    output: str
    details: dict[str, dict[str, str]]
    """The last ``scontrol --details show job`` of every job while it ran."""
    devices: dict[str, set[str | None]]
    """CUDA_VISIBLE_DEVICES of the processes in every job; None where it is not set."""
    nodes: dict[str, set[str]]

    def of_rule(self, rule: str) -> dict[str, dict[str, str]]:
        pattern = re.compile(rf"rule_{rule}(_wildcards_.*)?")
        return {
            job: fields
            for job, fields in self.details.items()
            if pattern.fullmatch(fields.get("Comment", ""))
        }


@pytest.fixture(scope="module")
def finished(
    cluster: Cluster, repo: Path, demo_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    directory = tmp_path_factory.mktemp("demo")
    (directory / "Snakefile").touch()
    session = Session(cluster, directory, [repo / "profiles/slurm", repo / "profiles/slurm-ci"])
    pipeline = Pipeline(session, repo, demo_model, fill_shards=SHARDS)
    session.profiles = [Path("slurm"), Path("profiles/slurm-ci")]
    observations = directory / "observations.jsonl"
    watcher = cluster.spawn(
        [sys.executable, repo / "tests/slurm/watch_jobs.py", observations],
        directory / "watcher.log",
    )
    try:
        output = session.run(seconds=1500)
    finally:
        watcher.kill()
    mine = {job for job in cluster.jobs() if pipeline.logs_hold(job)}
    details: dict[str, dict[str, str]] = {}
    devices, nodes = defaultdict(set), defaultdict(set)
    for line in observations.read_text().splitlines():
        seen = json.loads(line)
        for fields in map(parse_fields, seen["details"].split("\n\n")):
            if fields.get("JobId") in mine and fields["JobState"] == "RUNNING":
                details[fields["JobId"]] = fields
        for process in seen["inside"]:
            if process["SLURM_JOB_ID"] in mine:
                devices[process["SLURM_JOB_ID"]].add(process.get("CUDA_VISIBLE_DEVICES"))
                nodes[process["SLURM_JOB_ID"]].add(process["SLURMD_NODENAME"])
    return Finished(pipeline, output, details, dict(devices), dict(nodes))


def test_everything_is_there_and_conserved(finished: Finished) -> None:
    summary = json.loads((finished.pipeline.data / "stats/summary.json").read_text())
    assert summary["conserved"] is True
    for mode in ("ds", "dr"):
        finished.pipeline.check_every_skeleton_once(mode)
    for name in ("fujitsu_b4_ds", "fujitsu_b4_dr", "agentdojo_complete"):
        assert (finished.pipeline.data / f"lossmasks/{name}.jsonl").exists()


def test_every_fill_shard_held_one_gpu_and_no_two_the_same(finished: Finished) -> None:
    fills = finished.of_rule("fill_shard")
    assert len(fills) == SHARDS
    assert {fields["Comment"] for fields in fills.values()} == {
        f"rule_fill_shard_wildcards_{shard}_{SHARDS}" for shard in range(SHARDS)
    }
    held = set()
    for job, fields in fills.items():
        assert re.fullmatch(r"gpu:(a100|h100):1\(IDX:[01]\)", fields["GRES"]), fields["GRES"]
        assert fields["NumNodes"] == "1" and nodes_of(finished, job) == {fields["NodeList"]}
        index = fields["GRES"].rsplit(":", 1)[1].rstrip(")")
        assert finished.devices[job] == {index}
        held.add((fields["NodeList"], index))
        assert int(fields["NumCPUs"]) >= 4
    assert len(held) == SHARDS
    assert len({node for node, _ in held}) >= 2


def nodes_of(finished: Finished, job: str) -> set[str]:
    return finished.nodes[job]


def test_cpu_rules_held_no_gpu(finished: Finished) -> None:
    comments = {fields["Comment"] for fields in finished.details.values()}
    assert {
        rule
        for rule in CPU_RULES
        if any(comment.startswith(f"rule_{rule}") for comment in comments)
    } == CPU_RULES
    for rule in CPU_RULES:
        for job, fields in finished.of_rule(rule).items():
            assert "GRES" not in fields or fields["GRES"] in {"", "(null)"}
            assert "TresPerJob" not in fields and "TresPerNode" not in fields
            assert finished.devices.get(job, set()) <= {None}


def test_logs_of_successful_jobs_are_kept_under_rule_and_job_id(finished: Finished) -> None:
    for job, fields in finished.details.items():
        rule = fields["Comment"].removeprefix("rule_").split("_wildcards_")[0]
        logs = list((finished.pipeline.logs / f"rule_{rule}").rglob(f"{job}.log"))
        assert len(logs) == 1, (job, rule)
    for shard in range(SHARDS):
        assert (
            finished.pipeline.logs / "fill_shard" / "fujitsu_b4" / f"{shard}-of-{SHARDS}.log"
        ).stat().st_size > 0


def test_a_second_run_submits_nothing(finished: Finished, cluster: Cluster) -> None:
    before = set(cluster.jobs())
    assert "Nothing to be done" in finished.pipeline.session.run()
    assert set(cluster.jobs()) == before


@pytest.mark.parametrize("target", ["traces", "renders", "lossmasks"])
def test_a_single_file_is_a_target(finished: Finished, cluster: Cluster, target: str) -> None:
    """`snakemake --profile slurm <file>` makes that file, with what it needs, as jobs of the
    cluster.
    """
    path = finished.pipeline.data / target / "agentdojo_complete.jsonl"
    content = path.read_bytes()
    before = set(cluster.jobs())
    path.unlink()
    finished.pipeline.session.run(path)
    assert path.read_bytes() == content
    rule = {
        "traces": "convert_agentdojo",
        "renders": "render_traces",
        "lossmasks": "apply_lossmask",
    }[target]
    new = [fields for job, fields in cluster.jobs().items() if job not in before]
    assert [fields["Comment"].split("_wildcards_")[0] for fields in new] == [f"rule_{rule}"]


def test_tensor_parallel_two_holds_two_gpus_on_one_node(
    cluster: Cluster, repo: Path, demo_model: Path, tmp_path: Path, finished: Finished
) -> None:
    """One GPU of every node is taken, so two free ones on a single node do not exist until the
    blockers end; SLURM must not split the pair.
    """
    blockers = [
        cluster.run(
            [
                "sbatch",
                "--parsable",
                f"--nodelist={node}",
                "--gpus=1",
                "--mem=100",
                "--output=/dev/null",
                "--wrap",
                "sleep 600",
            ]
        ).stdout.strip()
        for node in ("n1", "n2", "n3")
    ]
    (tmp_path / "Snakefile").touch()
    session = Session(cluster, tmp_path, [repo / "profiles/slurm", repo / "profiles/slurm-ci"])
    pipeline = Pipeline(session, repo, demo_model, tensor_parallel=2, limit=2, skip_load=True)
    (pipeline.data / "traces").mkdir(parents=True)
    skeletons = finished.pipeline.data / "traces/fujitsu_b4_skeletons.jsonl"
    (pipeline.data / "traces/fujitsu_b4_skeletons.jsonl").write_bytes(skeletons.read_bytes())
    run = session.spawn("fill")
    try:
        wait_until(
            lambda: any(pipeline.logs.glob("rule_fill_shard/*")),
            60,
            "the fill job to be submitted",
            run.text,
        )
        wait_until(
            lambda: "submitted with SLURM jobid" in run.text(),
            60,
            "the fill job to be submitted",
            run.text,
        )
        (job,) = re.findall(r"submitted with SLURM jobid (\d+)", run.text())
        wait_until(
            lambda: cluster.jobs()[job]["Reason"] == "Resources",
            30,
            "the job to wait for resources",
        )
        cluster.run(["scancel", *blockers])
        wait_until(lambda: cluster.jobs()[job]["JobState"] == "RUNNING", 30, "the job to start")
        fields = cluster.jobs()[job]
        assert fields["NumNodes"] == "1"
        assert re.fullmatch(r"gpu:(a100|h100):2\(IDX:0-1\)", fields["GRES"])
    finally:
        cluster.run(["scancel", *blockers])
        run.kill(signal.SIGINT)
        run.wait(90)


def test_the_plan_needs_no_cluster(repo: Path, tmp_path: Path) -> None:
    """As typed in the checkout, on a machine where none of SLURM's programs is installed."""
    path = tmp_path / "bin"
    path.mkdir()
    for program in ("sh", "bash", "which", "env"):
        (path / program).symlink_to(
            f"/bin/{program}" if Path(f"/bin/{program}").exists() else f"/usr/bin/{program}"
        )
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "--profile",
        "slurm",
        "--configfile",
        "config/demo/config.yaml",
    ]
    config = ["--config", f"output_base={tmp_path / 'data'}", "fill_shards=3", "tensor_parallel=4"]
    done = subprocess.run(
        [*command, *config],
        cwd=repo,
        env={**os.environ, "PATH": str(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^fill_shard +3$", done.stdout, re.MULTILINE)
