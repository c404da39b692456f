"""Every fix names commands that the Makefile has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cbdata.fill.backends.fixes import FOR_GPUS, FOR_THE_CPU, no_gpu, wasted_gpu


@pytest.mark.parametrize(
    "text",
    [FOR_GPUS, FOR_THE_CPU, wasted_gpu("SLURM_JOB_GPUS=0", "it"), no_gpu(2, 0, "no driver")],
)
def test_commands_are_targets_of_the_makefile(repo: Path, text: str) -> None:
    makefile = (repo / "Makefile").read_text()
    targets = re.findall(r"`make ([a-z-]+)`", text)
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_a_wasted_gpu_is_told_with_what_shows_it_and_both_ways_out() -> None:
    text = wasted_gpu("SLURM_JOB_GPUS=0", "torch 2.13.0+cpu is a CPU build")
    assert "SLURM_JOB_GPUS=0" in text and "torch 2.13.0+cpu is a CPU build" in text
    assert "make setup-gpu" in text and ".venv-gpu/bin/activate" in text
    assert "engine_device=cpu" in text


def test_missing_gpus_are_counted() -> None:
    assert "needs 1 GPU (" in no_gpu(1, 0, "x") and "needs 4 GPUs (" in no_gpu(4, 2, "x")
    assert "sees 2 (CUDA_VISIBLE_DEVICES='0,1')" in no_gpu(4, 2, "CUDA_VISIBLE_DEVICES='0,1'")
