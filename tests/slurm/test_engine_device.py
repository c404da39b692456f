"""A job that holds a GPU, and an environment that is built for CPUs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.pipeline import SMALL_FILL, Pipeline
from tests.slurm.session import NewSession

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]


@pytest.fixture
def pipeline(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    new_session: NewSession,
    profiles: Path,
    repo: Path,
    demo_model: Path,
) -> Pipeline:
    """One small shard; the test's parameter is ``engine_device``."""
    session = new_session(cluster, "", profiles / "slurm", profiles / "slurm-ci")
    config = {**SMALL_FILL, "batch_size": 64, "engine_device": request.param, "limit": 4}
    return Pipeline(session, repo, demo_model, **config)


@pytest.mark.parametrize("pipeline", ["auto"], indirect=True)
def test_the_job_stops_and_says_how_to_get_the_gpu_build(pipeline: Pipeline) -> None:
    traces = pipeline.data / "traces/fujitsu_b4_ds.jsonl"
    output = pipeline.session.run("--retries", "0", traces, check=False)
    log = (pipeline.logs / "fill_shard/fujitsu_b4/0-of-1.log").read_text()
    (said,) = re.findall(r"this job holds a GPU \(([^)]*)\)", log)
    # In a step of the test cluster's SLURM 22.05 it is SLURM_STEP_GPUS.
    assert re.fullmatch(r"(SLURM_JOB_GPUS|SLURM_STEP_GPUS|CUDA_VISIBLE_DEVICES)=\d", said)
    assert "make setup-gpu" in log and "Traceback" not in log
    assert "rule fill_shard" in output and not pipeline.stored()


@pytest.mark.parametrize("pipeline", ["cpu"], indirect=True)
def test_the_check_of_a_gpu_is_a_job_that_holds_one(pipeline: Pipeline, cluster: Cluster) -> None:
    output = pipeline.session.run("--forcerun", "gpu_check", "--", "gpu_check", seconds=600)
    assert "64 completions in" in output and "fill_shards=16" in output
    (job,) = cluster.jobs_of("gpu_check")
    assert job["JobState"] == "COMPLETED" and "gres/gpu=1" in job["TRES"]
    assert "that it does not use" in (pipeline.logs / "gpu_check/gpu_check.log").read_text()
