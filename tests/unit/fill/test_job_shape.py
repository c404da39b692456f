"""Which jobs a run can have, and what they ask for."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.fill.backends.endpoint_backend import EndpointBackend
from cbdata.fill.backends.transformers_backend import TransformersBackend
from cbdata.fill.backends.vllm_backend import VllmBackend
from cbdata.fill.job_shape import JobNeeds, job_needs, place_problem, shape_problems
from tests.fill_settings import runtime_settings

VLLM, TRANSFORMERS, ENDPOINT = VllmBackend(), TransformersBackend(), EndpointBackend()


@pytest.mark.parametrize(
    ("given", "needs"),
    [
        ({}, JobNeeds(1, 1, 4, 36000)),
        ({"tensor_parallel": 2, "engines_per_job": 4}, JobNeeds(8, 1, 16, 192000)),
        ({"tensor_parallel": 8, "nodes_per_engine": 3}, JobNeeds(24, 3, 16, 120000)),
        ({"pipeline_parallel": 2, "nodes_per_engine": 2}, JobNeeds(4, 2, 4, 48000)),
    ],
)
def test_a_job_asks_for_all_its_engines_and_nodes(given: dict[str, int], needs: JobNeeds) -> None:
    """Cores and memory are those of one node."""
    assert job_needs(VLLM, runtime_settings(**given)) == needs


def test_only_a_job_over_several_nodes_starts_a_process_on_each_itself() -> None:
    assert job_needs(VLLM, runtime_settings(engines_per_job=4)).further_resources == {}
    over = job_needs(VLLM, runtime_settings(nodes_per_engine=3)).further_resources
    assert over == {"mpi": "srun", "tasks": 3, "tasks_per_gpu": 0}


@pytest.mark.parametrize(
    ("backend", "given", "said"),
    [
        (VLLM, {"nodes_per_engine": 2}, []),
        (VLLM, {"engines_per_job": 2}, []),
        (TRANSFORMERS, {"engines_per_job": 2}, []),
        (TRANSFORMERS, {"nodes_per_engine": 2}, ["backend=transformers runs on one node"]),
        (VLLM, {"nodes_per_engine": 2, "engines_per_job": 2}, ["exclude each other"]),
        (ENDPOINT, {}, []),
        (
            ENDPOINT,
            {"nodes_per_engine": 2, "engines_per_job": 3},
            [
                "nodes_per_engine: 2, but backend=endpoint starts no engine",
                "engines_per_job: 3, but backend=endpoint starts no engine",
            ],
        ),
    ],
)
def test_what_no_job_can_be_is_refused(
    backend: Any, given: dict[str, int], said: list[str]
) -> None:
    problems = shape_problems(backend, runtime_settings(**given))
    assert len(problems) == len(said)
    for problem, words in zip(problems, said, strict=True):
        assert words in problem and "Fix: " in problem


def test_several_nodes_are_only_to_be_had_of_slurm() -> None:
    over = runtime_settings(nodes_per_engine=2)
    problem = place_problem(VLLM, over, False, {})
    assert problem is not None and "--profile slurm" in problem
    assert place_problem(VLLM, over, True, {}) is None
    on_a_node = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1"}
    assert place_problem(VLLM, over, False, on_a_node) is None
    on_the_login_node = place_problem(VLLM, over, False, {"SLURM_JOB_ID": "7"})
    assert on_the_login_node is not None
    assert "start it on the first node of the allocation" in on_the_login_node
    assert place_problem(VLLM, over, False, {"SLURMD_NODENAME": "n1"}) == problem


@pytest.mark.parametrize(
    ("given", "submits", "environ", "fits"),
    [
        ({}, False, {"CUDA_VISIBLE_DEVICES": "0"}, False),
        ({}, True, {"CUDA_VISIBLE_DEVICES": "0"}, True),
        ({}, False, {"CUDA_VISIBLE_DEVICES": "0,1"}, True),
        ({"tensor_parallel": 2}, False, {"CUDA_VISIBLE_DEVICES": "0,1"}, False),
        ({"engine_device": "cpu"}, False, {"CUDA_VISIBLE_DEVICES": "0"}, True),
        ({}, False, {}, True),
        ({}, False, {"CUDA_VISIBLE_DEVICES": ""}, True),
    ],
)
def test_engines_of_a_job_on_this_machine_need_its_gpus(
    given: dict[str, Any], submits: bool, environ: dict[str, str], fits: bool
) -> None:
    """Without a list of GPUs only the job itself can count them."""
    runtime = runtime_settings(engines_per_job=2, **given)
    problem = place_problem(VLLM, runtime, submits, environ)
    assert (problem is None) == fits
    if problem is not None:
        assert "engines_per_job=2" in problem and "this job has" in problem and "Fix: " in problem
