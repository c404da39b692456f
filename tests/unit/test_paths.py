from __future__ import annotations

from pathlib import Path

from cbdata import paths


def test_every_path_is_there_and_in_the_checkout(repo: Path) -> None:
    found = {name: value for name, value in vars(paths).items() if isinstance(value, Path)}
    assert found["ROOT"] == repo
    assert len(found) >= 7
    for name, path in found.items():
        assert path.exists(), name
        assert path.is_relative_to(repo), name
