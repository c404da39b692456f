"""Backends by name: the built-in ones, and one of a module that the environment names."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from cbdata.config import ConfigError
from cbdata.fill.backends.registry import BUILT_IN, MODULES_VARIABLE, find_backend
from cbdata.records import BACKEND_NAMES

MODULE = """
class Mine:
    name = {name!r}
BACKEND = Mine()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``my_backend`` that can be imported; empty until a test writes it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_backend", raising=False)
    return tmp_path / "my_backend.py"


def test_the_built_in_backends_are_found_by_their_names() -> None:
    names = [backend.name for backend in BUILT_IN]
    assert len(set(names)) == len(names) and set(names) <= set(BACKEND_NAMES)
    for backend in BUILT_IN:
        assert find_backend(backend.name, {}) is backend


@pytest.mark.parametrize("name", ["stub", "os", "my_backend", "../vllm", "", "VLLM"])
def test_a_configuration_can_name_nothing_but_a_registered_backend(name: str, module: Path) -> None:
    module.write_text("raise SystemExit('imported')")
    with pytest.raises(ConfigError, match="is none of endpoint, transformers, vllm"):
        find_backend(name, {})
    assert "my_backend" not in sys.modules


def test_a_module_of_the_environment_brings_a_backend_and_the_log_says_so(
    module: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module.write_text(MODULE.format(name="stub"))
    with caplog.at_level(logging.WARNING):
        found = find_backend("stub", {MODULES_VARIABLE: "my_backend"})
    assert type(found).__name__ == "Mine"
    assert "backend stub comes from my_backend (CB_BACKEND_MODULES)" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MODULE.format(name="vllm"), "which is there"),
        (MODULE.format(name="colossus"), "trace_v1 does not have"),
        ("", "cannot be used"),
        ("import no_such_module_at_all", "no_such_module_at_all"),
    ],
)
def test_a_module_that_cannot_be_used_stops_the_run(module: Path, text: str, message: str) -> None:
    module.write_text(text)
    with pytest.raises(ConfigError, match=message):
        find_backend("transformers", {MODULES_VARIABLE: "my_backend"})
