"""Names of folders that sbatch would change."""

from __future__ import annotations

import pytest

from patient_slurm.log_folder import log_folder_problem


@pytest.mark.parametrize("name", ["/s/50%/logs", "/s/a\\b", "/s/%j", "/s/%%"])
def test_a_folder_that_sbatch_would_change_is_told(name: str) -> None:
    problem = log_folder_problem(name)
    assert problem is not None and name in problem and "Fix: set CB_SCRATCH" in problem


@pytest.mark.parametrize("name", ['/s/it\'s & $x `id` "q" ü;(d)*!#[e]~/logs', "scratch/logs"])
def test_others_are_left_to_the_shells_quotes(name: str) -> None:
    assert log_folder_problem(name) is None
