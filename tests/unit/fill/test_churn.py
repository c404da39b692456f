"""Jobs, nodes and the scheduler killed at random moments: the files of an undisturbed run, and next
to nothing generated twice. benchmarks/churn does the same with 64 shards and 20 seeds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_under_churn_ends_as_an_undisturbed_one(
    tmp_path: Path, repo: Path, seed: int
) -> None:
    command = [sys.executable, "-m", "tests.unit.fill.churn", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, "--seed", str(seed), "--shards", "8", "--skeletons", "160", "--kills", "8"],
        cwd=repo,
        env=os.environ | {"PYTHONPATH": str(repo / "workflow/scripts")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    result = json.loads(done.stdout)
    assert result["same"] and sum(result["killed"].values()) >= 4
    assert result["one_pass"] <= result["generated"] <= 1.05 * result["one_pass"]
