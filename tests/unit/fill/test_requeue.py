"""A job that was warned asks SLURM for another turn, and only where it can be of use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cbdata.fill import requeue
from cbdata.fill.job import EXECUTOR_JOB
from cbdata.fill.requeue import put_back
from cbdata.fill.runner import Stopped

WARNED = Stopped("SIGUSR1 received", comes_back=True)


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A job with a ``scontrol`` that notes its words; nobody ends this process afterwards."""
    monkeypatch.setattr(requeue.time, "sleep", lambda _: None)
    program = tmp_path / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\ncat {tmp_path}/refusal >&2\n')
    program.chmod(0o755)
    (tmp_path / "refusal").touch()
    path = f"{tmp_path}:{os.environ['PATH']}"
    return {"PATH": path, EXECUTOR_JOB: "1", "SLURM_JOB_ID": "17"}


def said(tmp_path: Path) -> str:
    path = tmp_path / "said"
    return path.read_text() if path.exists() else ""


def test_a_warned_job_with_completions_is_put_back(tmp_path: Path, environ: dict[str, str]) -> None:
    assert put_back(WARNED, environ)
    assert said(tmp_path) == "requeue 17\n"


@pytest.mark.parametrize(
    ("stopped", "without"),
    [
        (Stopped("SIGTERM received"), ""),
        (WARNED, EXECUTOR_JOB),
        (WARNED, "SLURM_JOB_ID"),
    ],
    ids=["stopped for good", "no job of the workflow", "no SLURM"],
)
def test_others_are_not(
    tmp_path: Path, environ: dict[str, str], stopped: Stopped, without: str
) -> None:
    environ.pop(without, None)
    assert not put_back(stopped, environ)
    assert said(tmp_path) == ""


def test_a_refusal_is_told_and_the_job_ends_as_stopped(
    tmp_path: Path, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "scontrol").write_text(
        "#!/bin/sh\necho 'Requested operation is disabled' >&2; exit 1"
    )
    assert not put_back(WARNED, environ)
    assert "SLURM did not put the job back: Requested operation is disabled" in caplog.text
