"""Several engines in one job: each is a process of its own with GPUs and a part of the shard of its
own, and their rows are joined.

They share the progress store, as all jobs do, and each locks its own part. So whatever ends one of
them costs the others nothing, and the next try of the job generates what is missing.
"""

from __future__ import annotations

import glob
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from cbdata.fill.backends.base import Backend
from cbdata.fill.device_shares import device_shares
from cbdata.fill.job import FillJob
from cbdata.fill.job_shape import engine_gpus
from cbdata.fill.lock import ShardLock
from cbdata.fill.processes import EXIT_STOPPED, EXIT_WARNED, Command, joint_status, run_all
from cbdata.fill.row_file import join_rows
from cbdata.fill.runner import StopFlag, Stopped
from cbdata.logs import JobLogs, log_failure

logger = logging.getLogger(__name__)

PORTS_APART = 100
"""Where VLLM_PORT is set, the first port of an engine lies so many above that of the one before."""


class EngineFailed(RuntimeError):
    """Engines of a job ended before their work was done: names them, with what they said."""


def run_engines(job: FillJob, backend: Backend) -> int:
    """Do a shard with ``engines_per_job`` engines side by side.

    Args:
        job: The shard.
        backend: What generates.

    Returns:
        The exit status of the job: 0 where every engine did its part and the shard is published,
        EXIT_STOPPED where a stop signal came before they were started.

    Raises:
        TooFewGpus: The job has not the GPUs that its engines need.
        Stopped: The job was told to stop while another job held the shard; or it was warned of its
            end, and no engine failed or was killed.
    """
    count = job.runtime.engines_per_job
    with StopFlag() as stop, ExitStack() as stack:
        for lock_file in job.lock_files:
            stack.enter_context(ShardLock(lock_file))
        # From here on files are left that must be removed, or rows are joined: nothing is cut off.
        stop.at_once = False
        parts = [job.of_engine(engine) for engine in range(count)]
        stack.callback(_remove_parts, [each.output for each in job.sets])
        logs = JobLogs()
        logs.started([part.log for part in parts if part.log])
        environs = engine_environs(job, backend)
        commands = []
        for part, environ in zip(parts, environs, strict=True):
            part.save(part.job_file)
            stack.callback(part.job_file.unlink, missing_ok=True)
            logger.info(
                "engine %d of %d: %s; its log is %s",
                part.engine,
                count,
                ", ".join(f"{name}={value}" for name, value in environ.items()) or "on the CPU",
                part.log or "here",
            )
            words = [sys.executable, "-m", "cbdata.fill", str(part.job_file)]
            commands.append(Command(words, environ))
        try:
            statuses = run_all(_unless_stopped(commands, stop))
        except Stopped as stopped:
            log_failure(stopped, traceback=False)
            return EXIT_STOPPED
        status = joint_status(statuses)
        if status == EXIT_WARNED:
            raise Stopped(_report(parts, statuses, logs), comes_back=True)
        if status:
            log_failure(EngineFailed(_report(parts, statuses, logs)), traceback=False)
            return status
        for index, each in enumerate(job.sets):
            run = join_rows([part.sets[index].output for part in parts], each.output)
            logger.info("published %s of %d engines: %s", each.output, count, run)
    return 0


def engine_environs(job: FillJob, backend: Backend) -> list[dict[str, str]]:
    """The variables of each engine of a job: its GPUs, its ports, and where it has no GPU its part
    of the cores.
    """
    runtime = job.runtime
    count = runtime.engines_per_job
    shares = device_shares(count, engine_gpus(backend, runtime))
    for engine, share in enumerate(shares):
        if not share and "OMP_NUM_THREADS" not in os.environ:
            share["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // count))
        if port := os.environ.get("VLLM_PORT", ""):
            share["VLLM_PORT"] = str(int(port) + PORTS_APART * engine)
    return shares


def _unless_stopped(commands: Sequence[Command], stop: StopFlag) -> Iterator[Command]:
    """The commands, looked at where the signals go to them already: one that came before is not
    passed on.
    """
    for command in commands:
        if stop.requested:
            raise Stopped(f"{stop.requested} received before the engines were started")
        yield command


def _report(parts: Sequence[FillJob], statuses: Sequence[int], logs: JobLogs) -> str:
    failed = sum(map(bool, statuses))
    lines = [f"{failed} of {len(parts)} engines did not do their part; nothing generated is lost:"]
    for part, status in zip(parts, statuses, strict=True):
        if status:
            ended = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
            ended = "was warned" if status == EXIT_WARNED else ended
            said = logs.reason([part.log]) if part.log else None
            lines.append(f"engine {part.engine} {ended}: {said or 'it says no reason'}")
    return "\n".join(lines)


def _remove_parts(outputs: Sequence[str]) -> None:
    """Remove the parts of a shard's files, those too that a killed try with more engines left."""
    for output in map(Path, outputs):
        for path in output.parent.glob(f"{glob.escape(output.name)}.engine*.part"):
            path.unlink(missing_ok=True)
