"""Pushing an export: which files go into the commit, where to, and what stops it. The Hub is
played at the door of ``HfApi``; which files are taken is huggingface_hub's own work here.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from huggingface_hub import DatasetCard, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from cbdata.export.dataset import export_parquet
from cbdata.export.pairs import export_pairs
from cbdata.export.push import PushError, push
from cbdata.export.registry import EXPORTS
from tests.records import Corpus

OUTPUTS = [path for export in EXPORTS if not export.by_request for path in export.outputs.values()]
ANSWER = httpx2.Response(403, request=httpx2.Request("GET", "https://hub.test/x"))


class Hub:
    """A Hub with one data set repository, or none."""

    def __init__(self, files: dict[str, bytes] | None = None, private: bool = True) -> None:
        self.files, self.private = files, private
        self.error: Exception | None = None

    def repo_info(self, repo: str, **_: Any) -> Any:
        if self.error:
            raise self.error
        if self.files is None:
            raise RepositoryNotFoundError("404", response=ANSWER)
        return SimpleNamespace(private=self.private)

    def create_repo(self, repo: str, *, repo_type: str, private: bool) -> None:
        assert repo_type == "dataset"
        self.files, self.private = {}, private

    def list_repo_files(self, **_: Any) -> list[str]:
        assert self.files is not None
        return list(self.files)

    def create_commit(self, *, repo_id: str, operations: list[Any], **_: Any) -> Any:
        assert self.files is not None and repo_id == "me/rows"
        for operation in operations:
            if hasattr(operation, "path_or_fileobj"):
                self.files[operation.path_in_repo] = Path(operation.path_or_fileobj).read_bytes()
            else:
                del self.files[operation.path_in_repo]
        return SimpleNamespace(oid="c0ffee", commit_url="https://hub.test/me/rows/commit/c0ffee")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    for name in ("repo_info", "create_repo", "list_repo_files", "create_commit"):
        played = getattr(hub, name)
        monkeypatch.setattr(
            HfApi, name, lambda _, *given, _of=played, **named: _of(*given, **named)
        )
    monkeypatch.setattr(HfApi, "_validate_yaml", lambda _, content, **__: DatasetCard(content))
    # The plain way to upload, which ends in create_commit.
    monkeypatch.setattr("huggingface_hub.hf_api.is_xet_available", lambda: False)
    return hub


@pytest.fixture
def export(tmp_path: Path) -> Path:
    corpus = Corpus(pairs=2).write(tmp_path)
    folder = tmp_path / "export"
    export_parquet([corpus.mask_file], [corpus.render_file], [corpus.trace_file], folder)
    export_pairs([corpus.mask_file], [corpus.render_file], folder / "pairs")
    (folder / "pairs.json").write_text("{}")
    (folder / "data/.snakemake_timestamp").touch()
    (folder / "prompt_output").mkdir()
    (folder / "prompt_output/harmful.json").write_text("[]")
    return folder


def there(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".parquet", ".md") or path.name in ("manifest.json", "pairs.json")
    }


def test_a_new_repository_is_private_and_has_the_export_alone(hub: Hub, export: Path) -> None:
    done = push(export, OUTPUTS, "me/rows", private=True)
    assert (hub.files, hub.private) == (there(export), True)
    assert done["files"] == sorted(there(export))
    assert done["commit"] == "c0ffee" and done["url"].endswith("c0ffee")


def test_what_is_gone_from_the_export_goes_and_other_files_stay(hub: Hub, export: Path) -> None:
    hub.files = {"data/old.parquet": b"x", "notes.md": b"mine", ".gitattributes": b"lfs"}
    push(export, OUTPUTS, "me/rows", private=True)
    assert hub.files == {**there(export), "notes.md": b"mine", ".gitattributes": b"lfs"}


def test_a_public_repository_is_refused_unless_allowed(hub: Hub, export: Path) -> None:
    hub.files, hub.private = {}, False
    with pytest.raises(PushError, match="there and public, so nothing was pushed"):
        push(export, OUTPUTS, "me/rows", private=True)
    assert hub.files == {}
    push(export, OUTPUTS, "me/rows", private=False)
    assert hub.files == there(export)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE is set.*unset it"),
        (
            HfHubHTTPError("403 Forbidden.\nmore", response=ANSWER),
            "403 Forbidden. Fix: sign in.*HF",
        ),
        (HTTPError("no route\nto {host}"), "cannot be reached: no route. Fix: push from"),
    ],
)
def test_what_stops_a_push_is_said_in_a_line(
    hub: Hub, export: Path, error: Exception, words: str
) -> None:
    hub.error = error
    with pytest.raises(PushError, match=words) as told:
        push(export, OUTPUTS, "me/rows", private=True)
    assert len(str(told.value).splitlines()) == 1


def test_the_hub_s_own_library_reads_the_card(export: Path) -> None:
    card = DatasetCard((export / "README.md").read_text(encoding="utf-8"))
    assert (card.data.license, card.data.task_categories) == ("other", ["text-generation"])
    named = {
        file["path"] for config in card.data.to_dict()["configs"] for file in config["data_files"]
    }
    assert named == {name for name in there(export) if name.endswith(".parquet")}
