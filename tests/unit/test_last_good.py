"""A file's second name while a job tries to make it anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cbdata.atomic_file import FileError, write_atomic
from cbdata.last_good import put_back, set_aside


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_removed_file_comes_back_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"good")
    os.utime(path, ns=(1, 1_000_000_007))
    assert not set_aside(path)
    path.unlink()
    assert put_back(path)
    assert tree(tmp_path) == {"a.jsonl": (b"good", 1_000_000_007)}


def test_a_new_file_stays_and_the_old_one_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"old")
    set_aside(path)
    write_atomic(path, b"new")
    assert not put_back(path)
    assert [(name, data) for name, (data, _) in tree(tmp_path).items()] == [("a.jsonl", b"new")]


def test_a_file_that_nobody_touched_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"good")
    set_aside(path)
    before = path.stat().st_ino
    assert not put_back(path)
    assert (path.stat().st_ino, os.listdir(tmp_path)) == (before, ["a.jsonl"])


def test_a_folder_comes_back_whole_and_a_new_one_is_not_mixed_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "train.parquet").write_bytes(b"1")
    (folder / "deep" / ".hidden").write_bytes(b"2")
    before = tree(tmp_path)
    set_aside(folder)
    shutil.rmtree(folder)
    assert put_back(folder)
    assert tree(tmp_path) == before
    set_aside(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    write_atomic(folder / "test.parquet", b"3")
    assert not put_back(folder)
    assert list(tree(tmp_path)) == ["data/test.parquet"]


def test_what_an_interrupted_run_set_aside_is_kept_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"good")
    set_aside(path)
    path.unlink()
    assert set_aside(path), "there is a version of the run before"
    assert put_back(path)
    assert path.read_bytes() == b"good"


def test_a_later_version_takes_the_place_of_an_interrupted_run_s(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"old")
    set_aside(path)
    write_atomic(path, b"newer")
    assert not set_aside(path)
    path.unlink()
    assert put_back(path)
    assert path.read_bytes() == b"newer"


def test_nothing_comes_of_nothing(tmp_path: Path) -> None:
    assert not set_aside(tmp_path / "a")
    assert not put_back(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_hard_links_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "a").write_bytes(b"good")
    with pytest.raises(FileError, match=r"\.a\.kept could not be written: Operation not"):
        set_aside(tmp_path / "a")
    assert not put_back(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"good"
