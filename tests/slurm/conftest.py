"""The private SLURM clusters of this folder's tests, and sessions on their login node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import cluster as slurm
from tests.slurm.cluster import Cluster
from tests.slurm.session import NewSession, Session


def running(accounting: bool) -> Iterator[Cluster]:
    reason = slurm.unavailable(accounting)
    if reason:
        pytest.skip(f"no SLURM cluster can be started here: {reason}")
    with slurm.start(accounting) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes with two GPUs each, without accounting: the state of a job comes from
    ``squeue``.
    """
    yield from running(accounting=False)


@pytest.fixture(scope="session")
def accounting_cluster() -> Iterator[Cluster]:
    """The same with slurmdbd on MariaDB: ``sacct`` answers, jobs need a valid account."""
    yield from running(accounting=True)


@pytest.fixture
def profiles(repo: Path) -> Path:
    return repo / "profiles"


@pytest.fixture
def new_session(tmp_path: Path) -> NewSession:
    """A working directory with the given Snakefile text; every call of the fixture makes another
    one, whose name begins as ``named`` says.
    """
    count = 0

    def make(cluster: Cluster, snakefile: str, *profiles: Path, named: str = "session") -> Session:
        nonlocal count
        count += 1
        directory = tmp_path / f"{named}{count}"
        directory.mkdir()
        (directory / "Snakefile").write_text(snakefile, encoding="utf-8")
        return Session(cluster, directory, list(profiles))

    return make
