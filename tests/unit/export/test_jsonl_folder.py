"""Folders of JSON Lines files: all of them or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.export.jsonl_folder import JsonlFolder
from cbdata.export.rows import ExportError


def test_rows_go_to_the_files_of_their_split(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone/rows.jsonl").touch()
    (tmp_path / "notes.txt").touch()
    with JsonlFolder(tmp_path) as folder:
        folder.add("train", {"a": 1})
        folder.add("train", {"a": 2})
        folder.add("eval", {"b": "ü"}, "rows")
        folder.touch("eval", "empty")
    found = {
        str(path.relative_to(tmp_path)): path.read_text()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert found == {
        "train.jsonl": '{"a":1}\n{"a":2}\n',
        "eval/rows.jsonl": '{"b":"ü"}\n',
        "eval/empty.jsonl": "",
        "notes.txt": "",
    }


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("earlier\n")

    def write_and_fail() -> None:
        with JsonlFolder(tmp_path) as folder:
            folder.add("train", {"a": 1})
            folder.add("eval", {"a": object()})

    with pytest.raises(TypeError):
        write_and_fail()
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]
    assert (tmp_path / "train.jsonl").read_text() == "earlier\n"


@pytest.mark.parametrize("split", ["../train", "a/b", "", ".hidden", "a b", "train\n"])
def test_a_split_whose_name_is_none_for_a_file_is_refused(tmp_path: Path, split: str) -> None:
    with pytest.raises(ExportError, match="expected letters, digits"), JsonlFolder(tmp_path) as out:
        out.add(split, {})
    assert list(tmp_path.iterdir()) == []
