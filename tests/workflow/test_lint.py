"""``snakemake --lint`` has nothing to say but what is listed here, with the reason."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ALLOWED = {
    # A function that serves one stage stands beside the stage's rules; what several share is in
    # common.smk, as the lint asks.
    "Mixed rules and functions in same snakefile.",
}


def test_only_listed_lints(repo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=repo, capture_output=True, text=True
    )
    output = done.stdout + done.stderr
    found = set(re.findall(r"^    \* (.*):$", output, re.MULTILINE))
    assert found or "Congratulations" in output, output
    assert found <= ALLOWED, output
