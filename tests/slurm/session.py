"""Runs of Snakemake on the login node of a test cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.slurm.cluster import Background, Cluster, ClusterError


@dataclass
class Session:
    """Snakemake as a user of the cluster would call it, in a working directory of its own, with
    CB_SCRATCH below it.

    :ivar profiles: in the order in which Snakemake gets them.
    :ivar arguments: what every call has besides.
    :ivar variables: of the environment, over those of every session.
    """

    cluster: Cluster
    directory: Path
    profiles: list[Path]
    arguments: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def scratch(self) -> Path:
        return self.directory / "scratch"

    @property
    def env(self) -> dict[str, str]:
        """The user's variables. One thread per process: the jobs of all three nodes share this
        machine's cores, and PyTorch's threads would wait for each other in loops.
        """
        return {
            "CB_SCRATCH": str(self.scratch),
            "XDG_CONFIG_HOME": str(self.directory / "xdg"),
            "OMP_NUM_THREADS": "1",
            **self.variables,
        }

    def command(self, *arguments: str | Path) -> list[str | Path]:
        profiles: list[str | Path] = [
            word for profile in self.profiles for word in ("--profile", profile)
        ]
        return [sys.executable, "-m", "snakemake", *profiles, *self.arguments, *arguments]

    def call_jobs_forgotten_after(self, seconds: int) -> None:
        """Have the workflow's executor do so earlier than after its two minutes."""
        with (self.directory / "Snakefile").open("a", encoding="utf-8") as snakefile:
            snakefile.write(
                "\n\nimport patient_slurm.executor\n\n"
                f"patient_slurm.executor.FORGOTTEN_S = {seconds}\n"
            )

    def run(
        self,
        *arguments: str | Path,
        check: bool = True,
        seconds: float = 300,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Call Snakemake and wait; what it printed."""
        done = self.cluster.run(
            self.command(*arguments),
            check=False,
            timeout=seconds,
            env={**self.env, **(env or {})},
            cwd=self.directory,
        )
        if check and done.returncode:
            raise ClusterError(f"Snakemake ended with {done.returncode}\n{done.stdout[-8000:]}")
        return done.stdout

    def spawn(self, *arguments: str | Path) -> Background:
        """Call Snakemake without waiting."""
        return self.cluster.spawn(
            self.command(*arguments),
            self.directory / "snakemake.log",
            env=self.env,
            cwd=self.directory,
        )


NewSession = Callable[..., Session]
