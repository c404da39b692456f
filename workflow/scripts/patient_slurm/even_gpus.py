"""GPUs of a job over several nodes, as many on each.

The plugin asks with ``--gpus`` alone, for which SLURM may give three GPUs of four on one node.
"""

from __future__ import annotations

import re

GPUS = re.compile(r"(?<!\S)--gpus=((?:[\w.]+:)?)(\d+)(?!\S)")


def even_gpus(options: str, nodes: int) -> str:
    """Ask for the GPUs of each node in place of those of the job, where a job has several nodes and
    the number can be divided.

    Args:
        options: Of sbatch, as in ``--gpus=h100:8``.
        nodes: Nodes of the job.
    """

    def each(found: re.Match[str]) -> str:
        count = int(found[2])
        if count % nodes:
            return found[0]
        return f"--gpus-per-node={found[1]}{count // nodes}"

    return options if nodes == 1 else GPUS.sub(each, options)
