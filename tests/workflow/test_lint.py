"""``snakemake --lint`` has nothing to say but what is listed here, with the reason."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from cbdata.config import config_schema

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


# Texts that are no one's own: each must be a name of the registry.
LOOKED_UP = {"policy", "skeleton_policy", "pooling_policy"}


def test_texts_of_the_user_are_handed_over_as_they_are(repo: Path) -> None:
    """Snakemake takes braces in a plain text of ``params:`` for wildcards; `as_given` keeps it."""
    types = {key: spec.get("type", ()) for key, spec in config_schema()["properties"].items()}
    texts = {key for key, kind in types.items() if "string" in kind or "array" in kind}
    plain = {
        (path.name, key)
        for path in (repo / "workflow/rules").glob("*.smk")
        for key in re.findall(r"^ +\w+=config\[\"(\w+)\"\],$", path.read_text(), re.MULTILINE)
        if key in texts - LOOKED_UP
    }
    assert plain == set()
