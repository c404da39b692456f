"""What vLLM is called with on either device, and which options are refused before it is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from cbdata.fill.backends.base import EngineOptions, EnginePlace
from cbdata.fill.backends.vllm_arguments import (
    OWN_KEYS,
    REFUSED,
    engine_arguments,
    node_arguments,
    option_problems,
)
from cbdata.fill.backends.vllm_backend import VllmBackend
from cbdata.fill.backends.vllm_names import ENGINE_ARGUMENTS
from cbdata.fill.devices import DeviceKind
from cbdata.fill.settings import EngineSettings
from tests.fill_settings import fill_settings, runtime_settings

EVERY_KEY = {
    "tensor_parallel": 2,
    "pipeline_parallel": 3,
    "max_num_seqs": 77,
    "max_num_batched_tokens": 9000,
    "cpu_offload_gb": 4,
    "kv_offload_gb": 8,
    "gpu_memory_utilization": 0.5,
    "enforce_eager": True,
}
EVERY_OPTION = {
    "quantization": "fp8",
    "kv_cache_dtype": "fp8_e5m2",
    "speculative": {"method": "ngram", "num_speculative_tokens": 4},
    "engine_args": {"async_scheduling": True, "block_size": 64},
}


def options(device: DeviceKind, engine: dict[str, Any], runtime: dict[str, Any]) -> EngineOptions:
    return EngineOptions(
        model=Path("/models/m"),
        runtime=runtime_settings(**runtime),
        engine=fill_settings(**engine).engine,
        device=device,
        dtype="auto",
        max_model_len=5000,
        seed=3,
    )


def test_on_gpus_everything_that_is_not_set_is_vllms_own() -> None:
    assert engine_arguments(options("cuda", {}, {})) == {
        "model": "/models/m",
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "dtype": "auto",
        "max_model_len": 5000,
        "enforce_eager": False,
        "trust_remote_code": False,
        "seed": 3,
    }


def test_on_the_cpu_a_prompt_is_read_in_one_step_and_the_cache_has_a_size() -> None:
    cpu = engine_arguments(options("cpu", {}, {}))
    gpu = engine_arguments(options("cuda", {}, {}))
    assert {name: value for name, value in cpu.items() if name not in gpu} == {
        "enable_prefix_caching": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": 5000,
        "kv_cache_memory_bytes": 2 << 30,
        "block_size": 32,
    }
    assert gpu.items() <= cpu.items()


def test_a_step_of_the_cpu_holds_the_longest_prompt_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        given = engine_arguments(options("cpu", {}, {"max_num_batched_tokens": 6000}))
        assert given["max_num_batched_tokens"] == 6000 and not caplog.text
        given = engine_arguments(options("cpu", {}, {"max_num_batched_tokens": 100}))
    assert given["max_num_batched_tokens"] == 5000
    assert "max_num_batched_tokens=100 is raised to 5000" in caplog.text


def test_every_key_reaches_the_argument_that_it_stands_for() -> None:
    given = engine_arguments(options("cuda", EVERY_OPTION, EVERY_KEY))
    assert given == {
        "model": "/models/m",
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 3,
        "dtype": "auto",
        "max_model_len": 5000,
        "max_num_seqs": 77,
        "max_num_batched_tokens": 9000,
        "cpu_offload_gb": 4,
        "kv_offloading_size": 8,
        "gpu_memory_utilization": 0.5,
        "enforce_eager": True,
        "trust_remote_code": False,
        "seed": 3,
        "quantization": "fp8",
        "kv_cache_dtype": "fp8_e5m2",
        "speculative_config": {"method": "ngram", "num_speculative_tokens": 4},
        "async_scheduling": True,
        "block_size": 64,
    }


def test_over_several_nodes_each_has_a_part_of_the_pipeline() -> None:
    runtime = {"tensor_parallel": 8, "pipeline_parallel": 2, "nodes_per_engine": 3}
    given = engine_arguments(options("cuda", {}, runtime))
    assert (given["tensor_parallel_size"], given["pipeline_parallel_size"]) == (8, 6)
    place = EnginePlace(rank=2, count=3, address="10.0.0.1", port=4000)
    assert node_arguments(place) == {
        "nnodes": 3,
        "node_rank": 2,
        "master_addr": "10.0.0.1",
        "master_port": 4000,
        "distributed_executor_backend": "mp",
    }
    # vLLM's CPU build dies in the second stage of a model that was not compiled.
    eager = {"enforce_eager": True, "nodes_per_engine": 2}
    assert engine_arguments(options("cpu", {}, eager))["enforce_eager"] is False
    assert engine_arguments(options("cuda", {}, eager))["enforce_eager"] is True


@pytest.mark.parametrize(
    ("device", "changes", "told"),
    [
        ("cpu", {"enforce_eager": True, "nodes_per_engine": 2}, True),
        ("cpu", {"enforce_eager": True, "pipeline_parallel": 2}, True),
        ("cpu", {"nodes_per_engine": 2}, False),
        ("cpu", {"enforce_eager": True}, False),
        ("cuda", {"enforce_eager": True, "nodes_per_engine": 2}, False),
    ],
)
def test_what_the_cpu_takes_otherwise_than_it_was_asked_is_logged(
    caplog: pytest.LogCaptureFixture, device: Any, changes: dict[str, Any], told: bool
) -> None:
    engine_arguments(options(device, {}, changes))
    assert ("enforce_eager=true is left out" in caplog.text) == told


@pytest.mark.parametrize(
    ("executor", "nodes", "refused"),
    [("ray", 2, True), ("uni", 2, True), (None, 2, False), ("mp", 2, False), ("ray", 1, False)],
)
def test_nodes_are_joined_in_one_way_and_another_is_refused(
    executor: str | None, nodes: int, refused: bool
) -> None:
    asked = engine(engine_args={"distributed_executor_backend": executor})
    problems = VllmBackend().option_problems(asked, runtime_settings(nodes_per_engine=nodes))
    assert len(problems) == refused
    for problem in problems:
        assert f"distributed_executor_backend: {executor!r} is refused" in problem
        assert "nodes_per_engine: 2" in problem and "Fix: leave it out" in problem


def test_arguments_of_both_devices_are_vllms() -> None:
    for device in ("cpu", "cuda"):
        given = engine_arguments(options(device, EVERY_OPTION, EVERY_KEY))  # type: ignore[arg-type]
        assert given.keys() <= ENGINE_ARGUMENTS
    assert REFUSED.keys() <= ENGINE_ARGUMENTS
    assert OWN_KEYS.keys() - {"swap_space"} <= ENGINE_ARGUMENTS


def engine(**changes: Any) -> EngineSettings:
    return fill_settings(**changes).engine


@pytest.mark.parametrize("changes", [{}, EVERY_OPTION, {"engine_args": {"optimization_level": 3}}])
def test_what_vllm_takes_is_no_problem(changes: dict[str, Any]) -> None:
    assert option_problems(engine(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"engine_args": {"asinc_scheduling": True}},
            ["did you mean async_sch"],
        ),
        ({"engine_args": {"xq": 1}}, ["'xq' is no argument of vLLM", "vllm.EngineArgs"]),
        ({"engine_args": {"max_num_seqs": 4}}, ["has its own key", "set max_num_seqs instead"]),
        ({"engine_args": {"tensor_parallel_size": 4}}, ["set tensor_parallel instead"]),
        ({"engine_args": {"swap_space": 4}}, ["set kv_offload_gb instead"]),
        ({"engine_args": {"trust_remote_code": True}}, ["is refused", "run code"]),
        ({"engine_args": {"logits_processors": ["os:system"]}}, ["is refused", "run code"]),
        (
            {"engine_args": {"compilation_config": {"backend": "os.system"}}},
            ["compilation_config.backend is refused"],
        ),
        ({"engine_args": {"data_parallel_size": 2}}, ["fill_shards"]),
        ({"engine_args": {"nnodes": 2}}, ["set nodes_per_engine instead"]),
        ({"engine_args": {"node_rank": 1}}, ["is refused", "meet where"]),
        ({"engine_args": {"hf_token": "x"}}, ["is refused", "logs"]),
        ({"quantization": "pf8"}, ["quantization: 'pf8'", "did you mean fp8"]),
        ({"kv_cache_dtype": "float8"}, ["kv_cache_dtype: 'float8'", "did you mean"]),
    ],
)
def test_what_vllm_would_not_take_is_told_with_the_fix(
    changes: dict[str, Any], words: list[str]
) -> None:
    (problem,) = option_problems(engine(**changes))
    for word in words:
        assert word in problem


def test_every_problem_is_told_at_once() -> None:
    wrong = engine(quantization="q", kv_cache_dtype="k", engine_args={"a": 1, "model": 2})
    assert len(option_problems(wrong)) == 4
