"""The store of finished completions, where it differs from what a whole job shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.atomic_file import FileError
from cbdata.fill.progress_store import ProgressStore, Stored
from tests.unit.full_disk import full_disk


def stored(attempt: int) -> Stored:
    return Stored(("trace_1", "ds", attempt, "p", "s"), (1, 2), "stop", "text", "toy", "1")


def test_a_full_disk_names_the_folder_and_costs_no_earlier_completion(tmp_path: Path) -> None:
    store = ProgressStore(tmp_path / "progress", "0-of-1")
    store.append([stored(0)])
    size = sum(path.stat().st_size for path in (tmp_path / "progress").iterdir())
    with (
        full_disk(size + 10),
        pytest.raises(FileError, match=f"{tmp_path}/progress could not be written: File too"),
    ):
        store.append([stored(1)])
    store.close()
    again = ProgressStore(tmp_path / "progress", "0-of-1").load(["trace_1"])
    assert list(again.values()) == [stored(0)]
