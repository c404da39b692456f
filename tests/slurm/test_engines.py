"""One engine over several nodes, and several in one job, on the cluster.

SLURM, its step with a process on each node, their talk, signals and exit status, GPUs and progress
store are real. The engine is a stand-in that answers by itself: the nodes share one machine here,
with no GPU. tests/vllm/test_over_nodes.py has the real one, in two processes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.pipeline import Pipeline
from tests.slurm.session import NewSession

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

TRACES = "traces/fujitsu_b4_ds.jsonl"


AWKWARD = "it's & $no `id` ü "
"""Every character that a shell on the way to a job could take for one of its own."""


class World:
    """A run of the stand-in, in a folder with such a name, where the home cannot be written to;
    ``variables`` are for it.
    """

    def __init__(
        self,
        cluster: Cluster,
        new_session: NewSession,
        repo: Path,
        model: Path,
        variables: dict[str, str] | None = None,
        **config: object,
    ) -> None:
        profiles = repo / "profiles"
        self.session = new_session(
            cluster, "", profiles / "slurm", profiles / "slurm-ci", named=AWKWARD
        )
        folders = [repo / "benchmarks/slurm_scale/stub", repo / "tests/slurm/over_nodes"]
        self.session.variables |= {
            "CB_BACKEND_MODULES": "over_nodes_backend",
            "PYTHONPATH": ":".join(map(str, folders)),
            "HOME": "/proc/no home",
            **(variables or {}),
        }
        work = {"backend": "stub", "mode": "ds", "attempts": 1, "constrain_tool_calls": False}
        self.pipeline = Pipeline(self.session, repo, model, **{**work, **config})

    def log(self, name: str) -> str:
        return (self.pipeline.logs / f"fill_shard/fujitsu_b4/{name}.log").read_text()

    def check(self) -> None:
        self.pipeline.check_every_skeleton_once()
        self.pipeline.check_nothing_generated_twice()


OVER_TWO = {"nodes_per_engine": 2, "tensor_parallel": 2, "fill_shards": 1}


def test_each_node_has_its_gpus_and_its_part(
    cluster: Cluster, new_session: NewSession, repo: Path, demo_model: Path
) -> None:
    world = World(cluster, new_session, repo, demo_model, **OVER_TWO)
    world.session.run(world.pipeline.data / TRACES)
    job = world.pipeline.job_of("0-of-1")
    assert (job["JobState"], job["NumNodes"], job["NumTasks"]) == ("COMPLETED", "2", "2")
    assert job["TresPerNode"] == "gres:gpu:2" and "TresPerJob" not in job
    log = world.log("0-of-1")
    names = re.findall(r"node (\d) (n\d): (?:stub|stand-in on GPUs (\S+))", log)
    assert [(rank, gpus) for rank, _, gpus in names] == [("0", ""), ("1", "0,1")]
    assert len({name for _, name, _ in names}) == 2
    assert "engine: stand-in on GPUs 0,1" in log
    further = world.log("0-of-1.node1")
    assert "part 1 of 2, seed" in further and "the engine's end: as planned" in further
    world.check()


def test_a_node_without_the_model_ends_the_job_at_once_and_is_named(
    cluster: Cluster, new_session: NewSession, repo: Path, demo_model: Path
) -> None:
    """That the node looks at its own files is shown by tests/unit/fill/test_follower.py: here all
    nodes have the same ones, so the stand-in says that they are missing.
    """
    missing = {"CB_TEST_MISSING": "n2"}
    config = {**OVER_TWO, "nodes_per_engine": 3}
    world = World(cluster, new_session, repo, demo_model, missing, **config)
    output = world.session.run("--retries", "0", world.pipeline.data / TRACES, check=False)
    assert "node n2: /models/large: no such folder" in output
    assert "node n3: /models" not in output and not world.pipeline.stored()


def test_a_warned_job_goes_on_under_its_id_and_a_node_that_dies_ends_the_step(
    cluster: Cluster, new_session: NewSession, repo: Path, demo_model: Path
) -> None:
    """The warning costs no try; the node does, and the next try goes on."""
    slow = {"CB_TEST_SECONDS": "0.5"}
    world = World(cluster, new_session, repo, demo_model, slow, **OVER_TWO)
    run = world.session.spawn(world.pipeline.data / TRACES, "--retries", "1")
    world.pipeline.wait_for_progress("0-of-1", 3)
    first = world.pipeline.job_of("0-of-1")
    cluster.run(["scancel", "--signal=USR1", first["JobId"]])
    wait_until(
        lambda: cluster.jobs()[first["JobId"]]["Restarts"] == "1",
        90,
        "the job to be back",
        run.text,
    )
    world.pipeline.wait_for_progress("0-of-1", len(world.pipeline.stored()) + 3)
    assert world.pipeline.job_of("0-of-1")["JobId"] == first["JobId"]
    (name,) = re.findall(r"node 1 (n\d):", world.log("0-of-1"))
    for pid in cluster.pids_of(name, "cbdata.fill"):
        cluster.run(["kill", "-KILL", str(pid)], check=False)
    assert run.wait(300) == 0, run.text()[-4000:]
    second = world.pipeline.job_of("0-of-1")
    assert second["JobId"] != first["JobId"]
    assert cluster.jobs()[first["JobId"]]["JobState"] == "FAILED"
    assert "exit status 75" in world.pipeline.slurm_log(first["JobId"]).read_text()
    (reused,) = re.findall(
        r"wanted; (\d+) stored", world.pipeline.slurm_log(second["JobId"]).read_text()
    )
    assert int(reused) >= 3
    world.check()


def test_the_time_limit_stops_the_engine_between_two_steps(
    cluster: Cluster, new_session: NewSession, repo: Path, demo_model: Path
) -> None:
    # SLURM looks at limits once a minute: there must be work for two.
    slow = {"CB_TEST_SECONDS": "4"}
    world = World(cluster, new_session, repo, demo_model, slow, **OVER_TWO)
    run = world.session.spawn(world.pipeline.data / TRACES)
    world.pipeline.wait_for_progress("0-of-1")
    first = world.pipeline.job_of("0-of-1")
    # The least that SLURM knows: one minute from the job's start.
    cluster.run(["scontrol", "update", f"JobId={first['JobId']}", "TimeLimit=1"])
    assert run.wait(400) == 0, run.text()[-4000:]
    assert cluster.jobs()[first["JobId"]]["JobState"] == "TIMEOUT"
    log = world.pipeline.slurm_log(first["JobId"]).read_text()
    assert re.search(r"SIG(TERM|USR2) received; \d+ completions of this run are kept", log)
    world.check()


def test_engines_side_by_side_have_gpus_and_work_of_their_own(
    cluster: Cluster, new_session: NewSession, repo: Path, demo_model: Path
) -> None:
    config = {"engines_per_job": 2, "fill_shards": 2, "engine_device": "auto"}
    world = World(cluster, new_session, repo, demo_model, **config)
    world.session.run(world.pipeline.data / TRACES)
    job = world.pipeline.job_of("1-of-2")
    assert (job["JobState"], job["TresPerJob"]) == ("COMPLETED", "gres:gpu:2")
    logs = [world.log(f"{shard}-of-2.engine{engine}") for shard in (0, 1) for engine in (0, 1)]
    found = [re.findall(r"engine: stand-in on GPUs (\d);", log) for log in logs]
    assert found == [["0"], ["1"], ["0"], ["1"]]
    assert len({name for _, name, _ in world.pipeline.stored()}) == 1
    world.check()
