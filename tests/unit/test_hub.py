"""Snapshots in caches as huggingface_hub lays them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.hub import caches, find_snapshot, hub_id, sign_in


def snapshot(cache: Path, commit: str, *references: str) -> Path:
    """A snapshot of org/name with a tokenizer file, and the branches and tags that name it."""
    model = cache / "models--org--name"
    folder = model / "snapshots" / commit
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text("{}")
    (model / "refs").mkdir(exist_ok=True)
    for reference in references:
        (model / "refs" / reference).write_text(commit + "\n")
    return folder


def test_main_a_tag_and_a_commit(tmp_path: Path) -> None:
    old, new = snapshot(tmp_path, "aaa", "v1"), snapshot(tmp_path, "bbb", "main")
    for revision, folder in ((None, new), ("main", new), ("v1", old), ("aaa", old), ("v2", None)):
        assert find_snapshot("org/name", revision, str(tmp_path), "tokenizer.json") == folder


def test_the_only_snapshot_needs_no_reference(tmp_path: Path) -> None:
    only = snapshot(tmp_path, "aaa")
    assert find_snapshot("org/name", None, str(tmp_path), "tokenizer.json") == only
    assert find_snapshot("org/name", "v1", str(tmp_path), "tokenizer.json") is None
    snapshot(tmp_path, "bbb")
    assert find_snapshot("org/name", None, str(tmp_path), "tokenizer.json") is None


def test_a_snapshot_without_the_file_is_passed_over(tmp_path: Path) -> None:
    (snapshot(tmp_path, "aaa", "main") / "tokenizer.json").unlink()
    assert find_snapshot("org/name", None, str(tmp_path), "tokenizer.json") is None
    whole = snapshot(tmp_path / "hub", "bbb", "main")
    assert find_snapshot("org/name", None, str(tmp_path), "tokenizer.json") == whole


def test_hugging_face_s_variables_name_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/x")
    assert caches(None) == [Path("/home/x/.cache/huggingface/hub")]
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert caches(None) == [Path("/xdg/huggingface/hub")]
    monkeypatch.setenv("HF_HOME", "/hf")
    monkeypatch.setenv("HF_HUB_CACHE", "/first")
    assert caches(None) == [Path("/first"), Path("/hf/hub")]
    assert caches("/mine") == [Path("/mine"), Path("/mine/hub")]


def test_a_snapshot_s_folder_has_a_hub_id_and_no_other(tmp_path: Path) -> None:
    assert hub_id(snapshot(tmp_path, "aaa")) == "org/name"
    assert hub_id(tmp_path) is None


def test_signing_in_is_advised_with_a_program_that_is_there(tmp_path: Path) -> None:
    python = str(tmp_path / "python")
    assert sign_in(python) == "HF_TOKEN"
    (tmp_path / "hf").touch()
    assert sign_in(python) == f"`{tmp_path}/hf auth login` or HF_TOKEN"
