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
    assert "2 files that are neither *.jsonl, *.ndjson nor *.json are left out" in caplog.text
    assert "1 hidden folders are left out" in caplog.text


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


def test_other_names_of_the_same_forms(tmp_path: Path) -> None:
    names = ["a.ndjson", "b.jsonl.gz", "c.JSONL", "d.json.zst", "e.jsonl.zst", "f.ndjson.gz"]
    for name in [*names, "g.gz", "h.txt.gz", "i.zst", "j.jsonl.bz2"]:
        (tmp_path / name).write_bytes(b"")
    assert input_files([tmp_path], KEY) == [str(tmp_path / name) for name in sorted(names)]


def test_a_compressed_run_is_called_by_its_path_in_the_tree(tmp_path: Path) -> None:
    path = tmp_path / "runs/p/s/u/none/none.json.gz"
    assert [name for name, _ in source_names([str(path)])] == ["p/s/u/none/none.json.gz"]


def test_linked_folders_are_searched(tmp_path: Path) -> None:
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "elsewhere/deep/a.jsonl").write_bytes(b"")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "raw/b.jsonl").symlink_to(tmp_path / "elsewhere/deep/a.jsonl")
    assert input_files([tmp_path / "raw"], KEY) == [
        str(tmp_path / "raw/b.jsonl"),
        str(tmp_path / "raw/linked/deep/a.jsonl"),
    ]


def test_a_folder_with_two_names_is_searched_once_and_a_circle_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = tmp_path / "raw"
    (raw / "a").mkdir(parents=True)
    (raw / "a/x.jsonl").write_bytes(b"")
    (raw / "a/up").symlink_to(raw, target_is_directory=True)
    (raw / "b").symlink_to(raw / "a", target_is_directory=True)
    assert input_files([raw], KEY) == [str(raw / "a/x.jsonl")]
    assert f"{raw / 'b'} is {raw / 'a'} and is searched once" in caplog.text
    assert f"{raw / 'a/up'} is {raw} and is searched once" in caplog.text


def test_a_folder_that_cannot_be_searched_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests run as root, whom no permission stops; so the system's answer is a made one."""
    import os

    (tmp_path / "closed").mkdir()
    (tmp_path / "a.jsonl").write_bytes(b"")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match="closed cannot be searched"):
        input_files([tmp_path], KEY)


@pytest.mark.parametrize("name", ["runs", "run.json"])
def test_a_link_that_leads_nowhere_is_an_error_and_no_hole(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.json").write_text("{}")
    (tmp_path / "in" / name).symlink_to(tmp_path / "unmounted")
    with pytest.raises(SourceError, match=f"{name} is a link to .*unmounted, which is not there"):
        input_files([tmp_path / "in"], "agentdojo_path")
