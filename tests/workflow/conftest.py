"""Runs of the real workflow, as a user would start them, in folders of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow.command import Run, Snakemake
from tests.workflow.snakemake_forks import SnakemakeForks


@pytest.fixture(scope="session")
def snakemake(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snakemake]:
    """Call ``snakemake`` in the checkout; state in ``.snakemake`` is shared, outputs lie where the
    configuration says.

    ``config`` becomes ``--config key=value`` words. With ``check`` a bad status fails the test and
    shows the output.
    """
    forks: list[SnakemakeForks] = []
    written = tmp_path_factory.mktemp("snakemake") / "output.txt"

    def call(
        *arguments: str | Path,
        config: dict[str, object] | None = None,
        check: bool = True,
        cwd: Path = repo,
        env: dict[str, str] | None = None,
    ) -> Run:
        words = [f"{key}={value}" for key, value in (config or {}).items()]
        command = [*map(str, arguments), *(["--config", *words] if words else [])]
        environ = {key: value for key, value in os.environ.items() if key != "CB_SCRATCH"} | (
            env or {}
        )
        if not forks or not forks[0].alive:
            forks[:] = [SnakemakeForks()]
        written.unlink(missing_ok=True)
        status = forks[0].run(command, cwd, environ, written)
        output = written.read_text(encoding="utf-8")
        if check and status:
            pytest.fail(f"snakemake {' '.join(command)} ended with {status}\n{output[-8000:]}")
        return Run(status, output)

    yield call
    for each in forks:
        each.close()
