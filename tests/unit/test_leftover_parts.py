"""Parts that a failed run with another number of them has left."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.atomic_file import FileError
from cbdata.leftover_parts import remove_other_parts


def test_parts_of_another_number_are_removed_and_nothing_else(tmp_path: Path) -> None:
    stay = ["0-of-3.jsonl", ".1-of-3.jsonl.host.12.part", "notes.txt", "x-of-4.jsonl", "of-4.json"]
    go = ["0-of-16.jsonl", "2-of-4.rejects.jsonl", "2-of-30.json", ".1-of-4.jsonl.host.7.part"]
    for name in (*stay, *go):
        (tmp_path / name).touch()
    assert [path.name for path in remove_other_parts(tmp_path, 3)] == sorted(go)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)
    assert remove_other_parts(tmp_path / "nowhere", 3) == []


def test_a_part_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "0-of-4.jsonl").mkdir()
    with pytest.raises(FileError, match=r"0-of-4\.jsonl"):
        remove_other_parts(tmp_path, 3)
