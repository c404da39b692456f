"""The draws of the transformers backend: the right distribution, each row on its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cbdata.fill.backends import transformers_backend
from cbdata.fill.backends.transformers_backend import TransformersBackend, row_sampler
from cbdata.fill.devices import Gpu, TorchSees
from cbdata.fill.requests import Request
from tests.fill_settings import fill_settings, runtime_settings
from tests.unit.fill.test_requests import item

LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))


def request(seed: int, temperature: float = 1.0, top_p: float = 1.0) -> Request:
    return replace(
        item("a", "ds", [1], fill_settings(model="toy")).request(1),
        seed=seed,
        temperature=temperature,
        top_p=top_p,
    )


def draw(requests: list[Request], logits: torch.Tensor = LOGITS) -> list[int]:
    """One step of a batch whose rows all have these logits."""
    return row_sampler(requests)(None, logits.repeat(len(requests), 1)).argmax(dim=-1).tolist()


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (1.0, 1.0, [0.5, 0.3, 0.15, 0.05]),
        (0.5, 1.0, [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        (1.0, 0.75, [0.625, 0.375, 0.0, 0.0]),
        (1.0, 0.5, [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_draws_follow_temperature_and_nucleus(
    temperature: float, top_p: float, expected: list[float]
) -> None:
    count = 4000
    drawn = draw([request(seed, temperature, top_p) for seed in range(count)])
    for token, probability in enumerate(expected):
        # Five standard deviations of a binomial count.
        assert (
            abs(drawn.count(token) / count - probability)
            <= 5 * (probability * (1 - probability) / count) ** 0.5
        )


def test_temperature_zero_is_the_likeliest_token() -> None:
    assert draw([request(seed, temperature=0.0) for seed in range(5)], LOGITS.flip(0)) == [3] * 5


def test_a_row_draws_the_same_alone_and_beside_others() -> None:
    alone = [draw([request(seed)])[0] for seed in range(20)]
    assert draw([request(seed) for seed in range(20)]) == alone
    assert draw([request(seed) for seed in reversed(range(20))]) == alone[::-1]


def test_each_step_draws_anew_and_a_forbidden_token_never() -> None:
    logits = LOGITS.clone()
    logits[0] = float("-inf")
    sampler = row_sampler([request(1)])
    drawn = [sampler(None, logits.repeat(1, 1)).argmax().item() for _ in range(200)]
    assert 0 not in drawn and len(set(drawn)) == 3


def test_it_asks_for_one_gpu_whatever_tensor_parallel_says() -> None:
    assert TransformersBackend().needs(runtime_settings(tensor_parallel=4)).gpus == 1


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problem = TransformersBackend().look(runtime_settings(), None).problem
    assert problem is not None and "torch and transformers cannot be imported" in problem
    assert "make setup-gpu" in problem and "use_vllm" not in problem


H100 = Gpu("H100", 80 << 30)
CPU_TORCH = TorchSees("2.13.0+cpu", "")
NO_DRIVER = TorchSees("2.13.0", "13.0", error="Found no NVIDIA driver")
WITH_GPU = TorchSees("2.13.0", "13.0", (H100,))
BROKEN = TorchSees("", "", error="torch cannot be used: ImportError: x")


@pytest.mark.parametrize(
    ("seen", "wanted", "held", "device", "problem"),
    [
        (CPU_TORCH, "auto", None, "cpu", None),
        (CPU_TORCH, "auto", "SLURM_JOB_GPUS=0", "cpu", "torch 2.13.0+cpu is a CPU build: the GPU"),
        (CPU_TORCH, "cpu", "SLURM_JOB_GPUS=0", "cpu", None),
        (CPU_TORCH, "cuda", None, "cpu", "engine_device=cuda, but torch 2.13.0+cpu is a CPU build"),
        (NO_DRIVER, "auto", None, "cpu", None),
        (NO_DRIVER, "auto", "CUDA_VISIBLE_DEVICES=0", "cpu", "Found no NVIDIA driver"),
        (NO_DRIVER, "cuda", None, "cpu", "Found no NVIDIA driver"),
        (WITH_GPU, "auto", "SLURM_JOB_GPUS=0", "cuda", None),
        (WITH_GPU, "auto", None, "cuda", None),
        (WITH_GPU, "cpu", "SLURM_JOB_GPUS=0", "cpu", None),
        (BROKEN, "auto", None, "cpu", "ImportError: x"),
    ],
)
def test_what_it_computes_on(
    monkeypatch: pytest.MonkeyPatch,
    seen: TorchSees,
    wanted: str,
    held: str | None,
    device: str,
    problem: str | None,
) -> None:
    monkeypatch.setattr(transformers_backend, "torch_sees", lambda: seen)
    here = TransformersBackend().look(runtime_settings(engine_device=wanted), held)
    assert here.device == device and here.description.startswith("transformers ")
    assert here.problem is None if problem is None else problem in str(here.problem)


def test_options_of_vllm_are_refused_by_name() -> None:
    engine = fill_settings(quantization="fp8", engine_args={"block_size": 64}).engine
    problems = TransformersBackend().option_problems(engine, runtime_settings())
    assert [problem.partition(":")[0] for problem in problems] == ["quantization", "engine_args"]
    assert TransformersBackend().option_problems(fill_settings().engine, runtime_settings()) == []
