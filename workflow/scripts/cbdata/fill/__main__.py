"""One fill job as a process of its own: ``python -m cbdata.fill JOB.json``. It starts further ones
for several engines, or for one engine over several nodes.

Exit status: 0 the shard is published; 75 stopped by a signal, or its servers or nodes are away, and
1 failed, in all these cases with every finished completion kept; 2 the job file cannot be used; 79,
of one of several engines alone, warned by the scheduler. A module with a main guard, because the
engine's processes import it again when they are spawned.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from cbdata.config import ConfigError
from cbdata.fill.backends.base import EngineAway, EngineDied
from cbdata.fill.backends.registry import find_backend
from cbdata.fill.device_shares import TooFewGpus
from cbdata.fill.engines import run_engines
from cbdata.fill.environment import prepare_environment
from cbdata.fill.follower import follow, log_beside
from cbdata.fill.job import FillJob, JobError, load_job
from cbdata.fill.job_shape import shape_problems
from cbdata.fill.nodes import Head, NodesError, NodesJob, node_rank, run_on_nodes
from cbdata.fill.preflight import PreflightError, preflight
from cbdata.fill.processes import EXIT_STOPPED, EXIT_WARNED, kill_descendants
from cbdata.fill.requeue import put_back
from cbdata.fill.runner import StopFlag, Stopped
from cbdata.fill.shard import run_shard
from cbdata.logs import configure_logging, log_failure
from cbdata.render.settings import TokenizerError
from cbdata.tools import ToolSchemaError

logger = logging.getLogger("cbdata.fill")

TELLING_ERRORS = (
    ConfigError,
    PreflightError,
    EngineDied,
    TokenizerError,
    ToolSchemaError,
    TooFewGpus,
    NodesError,
)
"""Errors whose message says all: no traceback is logged."""


def run_job(job: FillJob, nodes: NodesJob | None) -> None:
    """Check what the job needs, then do its shard with one engine.

    Args:
        job: The shard, or an engine's part of it.
        nodes: What the processes of an engine over several nodes were told.
    """
    settings = job.settings
    backend = find_backend(settings.backend_name)
    # Before anything imports the engine's libraries.
    scratch = prepare_environment(job.runtime.offline, job.runtime.cache_dir, backend.environment())

    def lost(reason: str) -> None:
        log_failure(EngineAway(f"{reason}. What had finished is kept"), traceback=False)
        kill_descendants()
        shutil.rmtree(scratch, ignore_errors=True)
        logging.shutdown()
        os._exit(EXIT_STOPPED)

    head = None
    try:
        with StopFlag() as stop:
            files = ", ".join(part.skeletons for part in job.sets)
            logger.info("shard %s of %s: %s", job.label, files, settings.describe())
            if nodes is not None:
                head = Head(nodes, lost)
                # First of all: whatever ends this job from here on, they hear of it.
                head.gather()
            inputs, renderer = preflight(job, backend)
            if head is not None:
                head.check(job, inputs.model, backend.name)
            run_shard(job, inputs, renderer, backend, stop, head)
    except Stopped:
        if head is not None:
            head.see_off()
        raise
    finally:
        if head is not None:
            head.end()
        shutil.rmtree(scratch, ignore_errors=True)


def run_here(job: FillJob, job_file: str, nodes: NodesJob | None) -> int:
    """Do a job in this process, or start the processes that do it.

    Args:
        job: The job.
        job_file: Where it stands.
        nodes: What the processes of an engine over several nodes were told.

    Returns:
        The exit status.
    """
    if problems := shape_problems(find_backend(job.settings.backend_name), job.runtime):
        raise PreflightError("\n".join(problems))
    if nodes is None and job.runtime.nodes_per_engine > 1:
        return run_on_nodes(job, job_file)
    try:
        if job.engine is None and job.runtime.engines_per_job > 1:
            return run_engines(job, find_backend(job.settings.backend_name))
        run_job(job, nodes)
    except Stopped as stopped:
        if job.engine is None:
            put_back(stopped)
        elif stopped.comes_back:
            # The job that started this engine decides, once the others have ended.
            log_failure(stopped, traceback=False)
            return EXIT_WARNED
        raise
    return 0


def send_engine_output_to(log: str | None) -> TextIO | None:
    """Let what the engine, its libraries and its processes print go to the log file.

    Returns:
        The real stderr, for this process's own messages; None where there is no log file.
    """
    if log is None:
        return None
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    console = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    return console


def main(arguments: list[str]) -> int:
    """Run one job file; see the module's text for the status."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    nodes = NodesJob.here()
    if nodes is not None and (rank := node_rank()):
        log = log_beside(nodes.log, rank)
        configure_logging(log, send_engine_output_to(log), f"node {rank}: ")
        return ended_with(lambda: follow(nodes))
    try:
        job = load_job(arguments[0])
    except JobError as error:
        print(error, file=sys.stderr)
        return 2
    starts_others = nodes is None and job.several_processes
    speaker = "" if job.engine is None else f"engine {job.engine}: "
    console = None if starts_others else send_engine_output_to(job.log)
    configure_logging(job.log, console, speaker)
    return ended_with(lambda: run_here(job, arguments[0], nodes))


def ended_with(work: Callable[[], int]) -> int:
    """The exit status of some work; what ends it too early is logged."""
    try:
        return work()
    except (Stopped, EngineAway) as error:
        log_failure(error, traceback=False)
        return EXIT_STOPPED
    except TELLING_ERRORS as error:
        log_failure(error, traceback=False)
        return 1
    except Exception as error:
        log_failure(error)
        logger.info("every completion that had finished is kept")
        return 1


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    # The shard is on disk: what an engine's libraries do in their exit handlers can no longer
    # change the status.
    os._exit(status)
