"""Which files a path stands for, and their names in the output."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.sources import SourceError
from cbdata.sources.files import input_files, source_names

KEY = "some_path"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    hidden = ["x/.hidden.jsonl", "x/.git/c.jsonl"]
    for name in [
        "x/b.jsonl",
        "x/a.jsonl",
        "x/a (1).jsonl",
        "x/readme.md",
        "y/a.jsonl",
        "runs/p/s/u/none/none.json",
        *hidden,
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_file_a_folder_and_a_list(tree: Path) -> None:
    assert input_files([tree / "x/a.jsonl"], KEY) == [str(tree / "x/a.jsonl")]
    assert input_files([str(tree / "x")], KEY) == [
        str(tree / "x" / name) for name in ("a (1).jsonl", "a.jsonl", "b.jsonl")
    ]
    assert input_files([tree / "x/b.jsonl", tree / "x", tree / "runs"], KEY) == sorted(
        str(tree / name)
        for name in ("x/a (1).jsonl", "x/a.jsonl", "x/b.jsonl", "runs/p/s/u/none/none.json")
    )


def test_what_is_left_out_of_a_folder_is_logged(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    input_files([tree / "x"], KEY)
    assert "2 files that are neither *.jsonl nor *.json are left out" in caplog.text


def test_a_file_of_any_name_can_be_given(tree: Path) -> None:
    assert input_files([tree / "x/readme.md"], KEY) == [str(tree / "x/readme.md")]


@pytest.mark.parametrize("names", [["none.jsonl"], ["empty"], []])
def test_nothing_to_read_is_an_error_that_names_the_key(tree: Path, names: list[str]) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(SourceError, match=f"(?s){KEY}.*Hint|Hint.*{KEY}"):
        input_files([tree / name for name in names], KEY)


def test_names_do_not_depend_on_where_the_data_lie(tree: Path) -> None:
    files = input_files([tree / "x", tree / "runs"], KEY)
    assert [name for name, _ in source_names(files)] == [
        "a (1).jsonl",
        "a.jsonl",
        "b.jsonl",
        "p/s/u/none/none.json",
    ]


def test_names_that_would_be_the_same_get_their_folders(tree: Path) -> None:
    assert [name for name, _ in source_names(input_files([tree / "x", tree / "y"], KEY))] == [
        "a (1).jsonl",
        "b.jsonl",
        "x/a.jsonl",
        "y/a.jsonl",
    ]
