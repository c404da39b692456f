"""What a fill job is made of: one engine, several side by side, or one over several nodes. Which of
these a run can have, and what its jobs ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cbdata.fill.backends.base import Backend, BackendOverNodes
from cbdata.fill.device_shares import TooFewGpus, device_shares
from cbdata.fill.settings import RuntimeSettings


@dataclass(frozen=True)
class JobNeeds:
    """What a fill job asks for: GPUs in all, and for each of its ``nodes`` CPU cores and megabytes
    of main memory.
    """

    gpus: int
    nodes: int
    cpus: int
    memory_mb: int

    @property
    def further_resources(self) -> dict[str, int | str]:
        """Resources that SLURM's plugin must see besides, so that a job over several nodes may
        start a process on each: it takes such a job for one of MPI, and leaves srun to it.
        """
        if self.nodes == 1:
            return {}
        # The plugin would ask for so many processes for each GPU, too.
        return {"mpi": "srun", "tasks": self.nodes, "tasks_per_gpu": 0}


def job_needs(backend: Backend, runtime: RuntimeSettings) -> JobNeeds:
    """What a fill job asks its executor for.

    Args:
        backend: What generates.
        runtime: The run-time settings.
    """
    one, engines, nodes = backend.needs(runtime), runtime.engines_per_job, runtime.nodes_per_engine
    return JobNeeds(one.gpus * engines * nodes, nodes, one.cpus * engines, one.memory_mb * engines)


def engine_gpus(backend: Backend, runtime: RuntimeSettings) -> int:
    """How many GPUs an engine computes on, on each of its nodes."""
    return 0 if runtime.engine_device == "cpu" else backend.needs(runtime).gpus


def shape_problems(backend: Backend, runtime: RuntimeSettings) -> list[str]:
    """Say which combinations of settings no job can have, each with its fix.

    Args:
        backend: What generates.
        runtime: The run-time settings.
    """
    problems = []
    several = {
        "nodes_per_engine": runtime.nodes_per_engine,
        "engines_per_job": runtime.engines_per_job,
    }
    given = {key: value for key, value in several.items() if value > 1}
    if not backend.loads_weights:
        return [
            f"{key}: {value}, but backend={backend.name} starts no engine of its own. Fix: leave it"
            " out; endpoint_urls takes several servers"
            for key, value in given.items()
        ]
    if runtime.nodes_per_engine > 1 and not isinstance(backend, BackendOverNodes):
        problems.append(
            f"nodes_per_engine: {runtime.nodes_per_engine}, but backend={backend.name} runs on one"
            " node. Fix: set backend=vllm, or leave it out"
        )
    if len(given) > 1:
        problems.append(
            f"engines_per_job: {runtime.engines_per_job} and nodes_per_engine:"
            f" {runtime.nodes_per_engine} exclude each other: an engine over several nodes has them"
            " to itself. Fix: leave one of them out"
        )
    return problems


def on_a_node_of_slurm(environ: Mapping[str, str]) -> bool:
    """Whether a process runs on a node of a SLURM job. ``salloc`` may leave a shell on the login
    node, which has the job's number, but no node's name.
    """
    return "SLURM_JOB_ID" in environ and "SLURMD_NODENAME" in environ


def place_problem(
    backend: Backend, runtime: RuntimeSettings, submits: bool, environ: Mapping[str, str]
) -> str | None:
    """Why the jobs of a run cannot be started from where it was; None if they can, as far as its
    environment shows (GPUs that no variable lists are counted when the job runs).

    Args:
        backend: What generates.
        runtime: The run-time settings.
        submits: Whether the run submits its jobs to a scheduler.
        environ: The environment of the run.
    """
    if submits:
        return None
    if runtime.nodes_per_engine == 1 and runtime.engines_per_job > 1:
        each = engine_gpus(backend, runtime)
        try:
            device_shares(runtime.engines_per_job, each, environ, seen=lambda: 0)
        except TooFewGpus as error:
            return str(error)
    if runtime.nodes_per_engine == 1 or on_a_node_of_slurm(environ):
        return None
    if "SLURM_JOB_ID" in environ:
        return (
            f"nodes_per_engine: {runtime.nodes_per_engine} nodes are reached from a node of the"
            " allocation, and this is none (SLURMD_NODENAME is not set). Fix: start it on the first"
            " node of the allocation, or use snakemake --profile slurm (docs/slurm.md)"
        )
    return (
        f"nodes_per_engine: {runtime.nodes_per_engine} nodes can only be had of SLURM, and this run"
        " does not submit its jobs. Fix: snakemake --profile slurm (docs/slurm.md), or leave it out"
    )
