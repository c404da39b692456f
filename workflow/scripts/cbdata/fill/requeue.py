"""A job that SLURM warns of its end puts itself back into the queue: it goes on there under its id,
and Snakemake, which waits for that id, counts no failed try.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Mapping

from cbdata.fill.job import EXECUTOR_JOB
from cbdata.fill.runner import Stopped

logger = logging.getLogger(__name__)

ANSWER_S = 60.0
"""How long the controller may take to answer, and then to end this process."""


def put_back(stopped: Stopped, environ: Mapping[str, str] = os.environ) -> bool:
    """Ask SLURM to put this job back into the queue, where that helps (``Stopped.comes_back``).

    Where SLURM agrees it ends this process, so it returns only where that does not happen. Of a job
    of several processes, the last one that works asks.

    Args:
        stopped: Why the job stopped.
        environ: Where the job's id is looked up.

    Returns:
        Whether SLURM agreed.
    """
    job, scontrol = environ.get("SLURM_JOB_ID"), shutil.which("scontrol", path=environ.get("PATH"))
    if not (stopped.comes_back and EXECUTOR_JOB in environ and job and scontrol):
        return False
    logger.info("the job is put back into the queue as %s, where it goes on", job)
    try:
        subprocess.run(
            [scontrol, "requeue", job],
            check=True,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            env=dict(environ),
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        logger.warning("SLURM did not put the job back: %s", said)
        return False
    time.sleep(ANSWER_S)
    return True
