"""What ``vllm.LLM`` is called with: what the configuration says, and vLLM's own defaults for the
rest, but for a few values that the CPU build cannot do without.
"""

from __future__ import annotations

import logging
from typing import Any

from cbdata.fill.backends.base import EngineOptions, EnginePlace
from cbdata.fill.backends.vllm_names import (
    ENGINE_ARGUMENTS,
    KV_CACHE_TYPES,
    QUANTIZATIONS,
    VLLM_VERSION,
)
from cbdata.fill.settings import EngineSettings, RuntimeSettings
from cbdata.suggest import did_you_mean

logger = logging.getLogger(__name__)

CPU_KV_CACHE_BYTES = 2 << 30
"""KV cache of the CPU engine. Said outright, because otherwise it wants gpu_memory_utilization of
the main memory to be free, and warms up for half a minute to see what is left.
VLLM_CPU_KVCACHE_SPACE (GiB) overrides it.
"""

CPU_BLOCK_SIZE = 32
"""Tokens per cache block on the CPU. Prompts share whole blocks only: with the default of 128, 41
demo prompts that have 415 of some 450 tokens in common took 20 s to read, with 32 they took 7 s
(two cores, SmolLM2-135M).
"""

CPU_STEP_TOKENS = 2048
"""Tokens of a step of the CPU engine at least; it warms up with a step of this size."""

OWN_KEYS = {
    "model": "model",
    "revision": "model_revision",
    "dtype": "dtype",
    "seed": "seed",
    "max_model_len": "max_model_len",
    "tensor_parallel_size": "tensor_parallel",
    "pipeline_parallel_size": "pipeline_parallel",
    "max_num_seqs": "max_num_seqs",
    "max_num_batched_tokens": "max_num_batched_tokens",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "enforce_eager": "enforce_eager",
    "quantization": "quantization",
    "kv_cache_dtype": "kv_cache_dtype",
    "speculative_config": "speculative",
    "spec_method": "speculative",
    "spec_model": "speculative",
    "spec_tokens": "speculative",
    "cpu_offload_gb": "cpu_offload_gb",
    "kv_offloading_size": "kv_offload_gb",
    "swap_space": "kv_offload_gb",
    "nnodes": "nodes_per_engine",
}
"""Arguments that are keys of the configuration: one value must not stand in two places.
``swap_space`` is what older versions of vLLM called room for the KV cache in main memory.
"""

EXECUTOR, NODES_EXECUTOR = "distributed_executor_backend", "mp"
"""What joins the nodes of an engine: vLLM's own processes, one on each node, not Ray."""

REFUSED = {
    **dict.fromkeys(
        (
            "trust_remote_code",
            "logits_processors",
            "worker_cls",
            "worker_extension_cls",
            "scheduler_cls",
            "io_processor_plugin",
            "reasoning_parser_plugin",
            "model_class_overrides",
            "kv_transfer_config",
            "ec_transfer_config",
        ),
        "it can make a job run code that a configuration names",
    ),
    **dict.fromkeys(
        ("tokenizer", "tokenizer_mode", "tokenizer_revision", "skip_tokenizer_init"),
        "prompts are made with the model's own tokenizer",
    ),
    **dict.fromkeys(("runner", "convert"), "a fill job generates text"),
    **dict.fromkeys(
        ("data_parallel_size", "prefill_context_parallel_size"),
        "the job does not ask for the GPUs that it takes; fill_shards is what runs more engines",
    ),
    **dict.fromkeys(
        ("node_rank", "master_addr", "master_port"),
        "the job settles which of its processes meet where",
    ),
    "hf_token": "it would stand in logs and records of the run; nothing is fetched by a job",
}
"""Arguments that nobody may give, and why."""


def nodes_problems(engine: EngineSettings, runtime: RuntimeSettings) -> list[str]:
    """Say what an engine over several nodes would not take, with the fix.

    Args:
        engine: What the model is run with.
        runtime: On how many nodes.
    """
    executor = engine.engine_args.get(EXECUTOR)
    if runtime.nodes_per_engine == 1 or executor in (None, NODES_EXECUTOR):
        return []
    return [
        (
            f"engine_args: {EXECUTOR}: {executor!r} is refused with nodes_per_engine:"
            f" {runtime.nodes_per_engine}, whose nodes are joined by {NODES_EXECUTOR!r}. Fix: leave"
            " it out"
        )
    ]


def option_problems(engine: EngineSettings) -> list[str]:
    """Say what vLLM would not take, without importing it; each problem names its fix."""
    problems = []
    for key, value, known in (
        ("quantization", engine.quantization, QUANTIZATIONS),
        ("kv_cache_dtype", engine.kv_cache_dtype, KV_CACHE_TYPES),
    ):
        if value is not None and value not in known:
            hint = (
                did_you_mean(value, known) or f"vLLM {VLLM_VERSION} has {', '.join(sorted(known))}"
            )
            problems.append(f"{key}: {value!r} is unknown to vLLM {VLLM_VERSION}; {hint}")
    for name in engine.engine_args:
        if name in OWN_KEYS:
            problems.append(
                f"engine_args: {name} has its own key. Fix: set {OWN_KEYS[name]} instead"
            )
        elif name in REFUSED:
            problems.append(f"engine_args: {name} is refused: {REFUSED[name]}. Fix: leave it out")
        elif name not in ENGINE_ARGUMENTS:
            hint = did_you_mean(name, ENGINE_ARGUMENTS - REFUSED.keys())
            problems.append(
                f"engine_args: {name!r} is no argument of vLLM {VLLM_VERSION}'s engine;"
                f" {hint or 'see the arguments of vllm.EngineArgs'}"
            )
    compilation = engine.engine_args.get("compilation_config")
    if isinstance(compilation, dict) and (
        code := sorted({"backend", "inductor_passes"} & compilation.keys())
    ):
        problems.append(
            f"engine_args: compilation_config.{code[0]} is refused:"
            f" {REFUSED['scheduler_cls']}. Fix: leave it out"
        )
    return problems


def engine_arguments(options: EngineOptions) -> dict[str, Any]:
    """The keyword arguments of ``vllm.LLM``.

    On GPUs they hold what the configuration says and nothing else: every default is vLLM's own.
    """
    engine, runtime = options.engine, options.runtime
    given = {
        "pipeline_parallel_size": runtime.pipeline_stages,
        "gpu_memory_utilization": runtime.gpu_memory_utilization,
        "max_num_seqs": runtime.max_num_seqs,
        "max_num_batched_tokens": runtime.max_num_batched_tokens,
        "cpu_offload_gb": runtime.cpu_offload_gb,
        "kv_offloading_size": runtime.kv_offload_gb,
        "quantization": engine.quantization,
        "kv_cache_dtype": engine.kv_cache_dtype,
        "speculative_config": None if engine.speculative is None else dict(engine.speculative),
    }
    arguments: dict[str, Any] = {
        "model": str(options.model),
        "tensor_parallel_size": runtime.tensor_parallel,
        "dtype": options.dtype,
        "max_model_len": options.max_model_len,
        "enforce_eager": runtime.enforce_eager,
        "trust_remote_code": False,
        "seed": options.seed,
        **{name: value for name, value in given.items() if value is not None},
    }
    if options.device == "cpu":
        arguments |= _for_the_cpu(options)
    return {**arguments, **engine.engine_args}


def node_arguments(place: EnginePlace) -> dict[str, Any]:
    """Further arguments of a process of an engine over several nodes. Its processes number their
    GPUs node by node, so tensor_parallel stays inside a node and the pipeline goes over them.
    """
    return {
        "nnodes": place.count,
        "node_rank": place.rank,
        "master_addr": place.address,
        "master_port": place.port,
        EXECUTOR: NODES_EXECUTOR,
    }


def _for_the_cpu(options: EngineOptions) -> dict[str, Any]:
    # vLLM 0.32 on the CPU dies when a seeded request's prompt is prefilled in chunks ("CPU
    # Generator does not use offset"), so every prompt must fit one step whole.
    step = options.runtime.max_num_batched_tokens or CPU_STEP_TOKENS
    if options.runtime.max_num_batched_tokens and step < options.max_model_len:
        logger.warning(
            "max_num_batched_tokens=%d is raised to %d: on the CPU a prompt is read in one step",
            step,
            options.max_model_len,
        )
    further = {}
    if options.runtime.pipeline_stages > 1:
        # Without the run that compiles the model, a stage behind the first has no room for what it
        # gets, and vLLM 0.32 dies of an assertion.
        if options.runtime.enforce_eager:
            logger.warning(
                "enforce_eager=true is left out: vLLM's CPU build cannot do without compiling where"
                " a model is divided into %d stages",
                options.runtime.pipeline_stages,
            )
        further["enforce_eager"] = False
    return {
        **further,
        "enable_prefix_caching": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(options.max_model_len, step),
        "kv_cache_memory_bytes": CPU_KV_CACHE_BYTES,
        "block_size": CPU_BLOCK_SIZE,
    }
