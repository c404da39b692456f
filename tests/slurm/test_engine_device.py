"""A job that holds a GPU, and an environment that is built for CPUs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.pipeline import SMALL_FILL, Pipeline
from tests.slurm.session import NewSession

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]


def test_a_job_that_would_waste_its_gpu_stops_and_says_how_to_get_the_gpu_build(
    cluster: Cluster, new_session: NewSession, profiles: Path, repo: Path, demo_model: Path
) -> None:
    session = new_session(cluster, "", profiles / "slurm", profiles / "slurm-ci")
    config = {**SMALL_FILL, "engine_device": "auto", "limit": 4}
    pipeline = Pipeline(session, repo, demo_model, **config)
    traces = pipeline.data / "traces/fujitsu_b4_ds.jsonl"
    output = session.run("--retries", "0", traces, check=False)
    log = (pipeline.logs / "fill_shard/fujitsu_b4/0-of-1.log").read_text()
    (said,) = re.findall(r"this job holds a GPU \(([^)]*)\)", log)
    # In a step of the test cluster's SLURM 22.05 it is SLURM_STEP_GPUS.
    assert re.fullmatch(r"(SLURM_JOB_GPUS|SLURM_STEP_GPUS|CUDA_VISIBLE_DEVICES)=\d", said)
    assert "make setup-gpu" in log and "Traceback" not in log
    assert "rule fill_shard" in output and not pipeline.stored()


def test_the_check_of_a_gpu_is_a_job_that_holds_one(
    cluster: Cluster, new_session: NewSession, profiles: Path, repo: Path, demo_model: Path
) -> None:
    """With the stand-in for a model that answers at once: what is tried here is the job."""
    session = new_session(cluster, "", profiles / "slurm", profiles / "slurm-ci")
    session.variables |= {
        "CB_BACKEND_MODULES": "stub_backend",
        "PYTHONPATH": str(repo / "benchmarks/slurm_scale/stub"),
    }
    Pipeline(session, repo, demo_model, backend="stub")
    output = session.run("--forcerun", "gpu_check", "--", "gpu_check")
    assert "64 completions in" in output and "fill_shards=16" in output
    (job,) = cluster.jobs_of("gpu_check")
    assert (job["JobState"], job["TresPerJob"]) == ("COMPLETED", "gres:gpu:1")
