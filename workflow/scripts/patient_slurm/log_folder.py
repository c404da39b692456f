"""Folders that ``sbatch`` cannot write a job's output to."""

from __future__ import annotations

from pathlib import Path


def log_folder_problem(folder: str | Path) -> str | None:
    """Why jobs whose output goes below a folder would fail without a word; None if they would not.

    In the name of an output file ``sbatch`` replaces what follows a ``%``, and takes a backslash
    for the wish to replace nothing, the job's number neither.

    Args:
        folder: The value of ``slurm-logdir``.
    """
    found = [character for character in "%\\" if character in str(folder)]
    if not found:
        return None
    return (
        f"the folder of SLURM's logs, {folder}, has {' and '.join(found)} in its name, which sbatch"
        " does not take as it is. Fix: set CB_SCRATCH (or slurm-logdir) to another folder"
    )
