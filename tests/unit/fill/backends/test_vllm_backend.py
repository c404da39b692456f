"""What the vLLM backend asks for and checks before it loads anything."""

from __future__ import annotations

import pytest

from cbdata.fill.backends import vllm_backend
from cbdata.fill.backends.vllm_backend import CPU_ENVIRONMENT, VllmBackend, visible_gpus
from tests.fill_settings import runtime_settings


@pytest.mark.parametrize(
    ("listed", "count"),
    [
        ("0", 1),
        ("0,1,2,3", 4),
        ("", 0),
        ("-1", 0),
        ("GPU-8932f937-d72c,MIG-b7f824fd", 2),
        ("1, 3", 2),
        ("0,-1,2", 1),
    ],
)
def test_visible_gpus_counts_numbers_uuids_and_mig_names(listed: str, count: int) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": listed}) == count


def test_it_asks_for_the_gpus_of_one_engine() -> None:
    needs = [VllmBackend().needs(runtime_settings(tensor_parallel=count)) for count in (1, 4)]
    assert [(each.gpus, each.cpus, each.memory_mb) for each in needs] == [
        (1, 4, 36000),
        (4, 8, 72000),
    ]


def test_the_gpu_build_must_see_the_gpus_it_is_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_backend, "vllm_version", lambda: ("0.32.0", False))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    problem = VllmBackend().problem(runtime_settings(tensor_parallel=4))
    assert problem is not None and (
        "tensor_parallel=4 needs 4 GPUs and this job sees 2 (CUDA_VISIBLE_DEVICES 0,1" in problem
    )
    assert VllmBackend().problem(runtime_settings(tensor_parallel=2)) is None
    assert VllmBackend().environment() == {}


def test_the_cpu_build_needs_no_gpu_and_runs_in_one_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vllm_backend, "vllm_version", lambda: ("0.32.0", True))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert VllmBackend().problem(runtime_settings()) is None
    assert VllmBackend().environment() == CPU_ENVIRONMENT


def test_without_vllm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problem = VllmBackend().problem(runtime_settings())
    assert problem is not None
    assert problem.startswith("vllm cannot be imported") and "use_vllm=false" in problem
