"""SLURM's executor plugin with patience: a controller that is away for a while, and an ``sbatch``
that is refused for a while, cost a run nothing but time.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

KNOWN_VERSIONS = ("2.8.0",)
"""Versions of the plugin that this was written and tried with."""


def install_in_job() -> None:
    """Have a job on a cluster quote the command that it starts itself (``srun``)."""
    from patient_slurm import shell_words

    shell_words.install()


def install(logger: Any) -> None:
    """Put the executor in the place of the plugin's own, for this process. A version of the plugin
    that nobody tried this with keeps its own executor, and a line says so.
    """
    found = version("snakemake-executor-plugin-slurm")
    if found not in KNOWN_VERSIONS:
        logger.warning(
            f"snakemake-executor-plugin-slurm {found} is used as it is: the workflow's patience"
            f" with a controller that is away is written for {', '.join(KNOWN_VERSIONS)}."
        )
        return
    from patient_slurm import executor, shell_words

    shell_words.install()
    executor.install()
