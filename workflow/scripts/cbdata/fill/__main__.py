"""One fill job as a process of its own: ``python -m cbdata.fill JOB.json``.

Exit status: 0 the shard is published; 75 stopped by a signal, or its servers are away, and 1
failed, in all these cases with every finished completion kept; 2 the job file cannot be used. A
module with a main guard, because the engine's processes import it again when they are spawned.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TextIO

from cbdata.config import ConfigError
from cbdata.fill.backends.base import EngineAway, EngineDied
from cbdata.fill.backends.registry import find_backend
from cbdata.fill.environment import prepare_environment
from cbdata.fill.job import FillJob, JobError, load_job
from cbdata.fill.preflight import PreflightError, preflight
from cbdata.fill.runner import StopFlag, Stopped
from cbdata.fill.shard import run_shard
from cbdata.logs import configure_logging, log_failure
from cbdata.render.settings import TokenizerError
from cbdata.tools import ToolSchemaError

logger = logging.getLogger("cbdata.fill")

EXIT_STOPPED = 75
"""EX_TEMPFAIL of sysexits.h: nothing is wrong with the job, run it again."""

TELLING_ERRORS = (
    ConfigError,
    PreflightError,
    EngineDied,
    TokenizerError,
    ToolSchemaError,
)
"""Errors whose message says all: no traceback is logged."""


def run_job(job: FillJob) -> None:
    """Check what the job needs, then do its shard."""
    settings = job.settings
    backend = find_backend(settings.backend_name)
    # Before anything imports the engine's libraries.
    scratch = prepare_environment(job.runtime.offline, job.runtime.cache_dir, backend.environment())
    try:
        with StopFlag() as stop:
            files = ", ".join(part.skeletons for part in job.sets)
            logger.info("shard %s of %s: %s", job.label, files, settings.describe())
            inputs, renderer = preflight(job, backend)
            run_shard(job, inputs, renderer, backend, stop)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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
    try:
        job = load_job(arguments[0])
    except JobError as error:
        print(error, file=sys.stderr)
        return 2
    configure_logging(job.log, send_engine_output_to(job.log))
    try:
        run_job(job)
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
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    # The shard is on disk: what an engine's libraries do in their exit handlers can no longer
    # change the status.
    os._exit(status)
