"""GPUs of a job over several nodes, as many on each."""

from __future__ import annotations

import pytest

from patient_slurm.even_gpus import even_gpus


@pytest.mark.parametrize(
    ("options", "nodes", "asked"),
    [
        (" --gpus=8", 2, " --gpus-per-node=4"),
        (" --gpus=h100:8", 4, " --gpus-per-node=h100:2"),
        (" --gpus=8", 1, " --gpus=8"),
        # What the site's profile asks for in its own way is for each node already.
        (" --gres=gpu:h100:8", 2, " --gres=gpu:h100:8"),
        ("", 2, ""),
        (" --gpus=3", 2, " --gpus=3"),
    ],
)
def test_the_number_of_a_job_becomes_that_of_a_node(options: str, nodes: int, asked: str) -> None:
    assert even_gpus(options, nodes) == asked
