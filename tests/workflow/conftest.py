"""Runs of the real workflow, as a user would start them, in folders of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.command import Run, Snakemake


@pytest.fixture(scope="session")
def snakemake(repo: Path) -> Snakemake:
    """Call ``snakemake`` in the checkout; state in ``.snakemake`` is shared, outputs lie where the
    configuration says.

    ``config`` becomes ``--config key=value`` words. With ``check`` a bad status fails the test and
    shows the output.
    """

    def call(
        *arguments: str | Path,
        config: dict[str, object] | None = None,
        check: bool = True,
        cwd: Path = repo,
        env: dict[str, str] | None = None,
    ) -> Run:
        words = [f"{key}={value}" for key, value in (config or {}).items()]
        command = [
            sys.executable,
            "-m",
            "snakemake",
            *map(str, arguments),
            *(["--config", *words] if words else []),
        ]
        environ = {key: value for key, value in os.environ.items() if key != "CB_SCRATCH"} | (
            env or {}
        )
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-8000:]}")
        return Run(done.returncode, done.stdout)

    return call
