"""A model as a folder on disk: how it is found and known again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cbdata.fill.models import (
    ModelMissing,
    context_length,
    find_model,
    folder_fingerprint,
    vocabulary_size,
    weight_files,
)


def test_a_model_folder_is_known_by_its_weights_and_configuration(model_folder: Path) -> None:
    before = folder_fingerprint(model_folder)
    (model_folder / "README.md").write_text("notes")
    assert folder_fingerprint(model_folder) == before
    weights = bytearray((model_folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model_folder / "model.safetensors").write_bytes(weights)
    assert folder_fingerprint(model_folder) != before
    found = find_model(str(model_folder), None, None, offline=True)
    assert (
        found.commit is None
        and found.context == 2048
        and found.fingerprint == folder_fingerprint(model_folder)
    )


def test_a_cached_snapshot_is_known_by_its_commit(tmp_path: Path, model_folder: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub/models--org--name/snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    model_folder.rename(snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text(commit)
    found = find_model("org/name", None, str(tmp_path / "hub"), offline=True)
    assert (found.path, found.commit, found.fingerprint) == (snapshot, commit, commit)


@pytest.mark.parametrize(
    ("model", "revision", "message"),
    [
        ("org/name", None, "make cache-model MODEL=org/name"),
        ("org/name", "v2", "REVISION=v2"),
        ("./nowhere", None, "no such folder"),
        ("not a model", None, "make cache-model"),
    ],
)
def test_a_missing_model_says_how_to_get_it(
    tmp_path: Path, model: str, revision: str | None, message: str
) -> None:
    with pytest.raises(ModelMissing, match=message):
        find_model(model, revision, str(tmp_path), offline=True)


def test_half_a_model_folder_is_refused(model_folder: Path) -> None:
    with pytest.raises(ModelMissing, match="has no revision"):
        find_model(str(model_folder), "main", None, offline=True)
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(ModelMissing, match="no weights"):
        find_model(str(model_folder), None, None, offline=True)
    (model_folder / "config.json").unlink()
    with pytest.raises(ModelMissing, match=r"no config\.json"):
        find_model(str(model_folder), None, None, offline=True)


def test_context_length_of_text_and_multimodal_models() -> None:
    assert context_length({"max_position_embeddings": 131072}) == 131072
    assert (
        context_length(
            {"text_config": {"max_position_embeddings": 8192}, "max_position_embeddings": 1}
        )
        == 8192
    )
    assert context_length({"n_positions": 1024}) == 1024
    assert context_length({}) is None


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"vocab_size": 10}, 10),
        ({"vocab_size": 10, "text_config": {"vocab_size": 12}}, 12),
        ({"text_config": {}, "vocab_size": 10}, 10),
        ({"vocab_size": "10"}, None),
        ([], None),
    ],
)
def test_how_many_tokens_a_model_can_write(
    config: object, size: int | None, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert vocabulary_size(tmp_path) == size
    assert vocabulary_size(tmp_path / "nowhere") is None


def test_the_weights_are_those_that_an_engine_loads(model_folder: Path) -> None:
    for name in ("consolidated.safetensors", "pytorch_model.bin", "optimizer.bin"):
        (model_folder / name).write_bytes(b"x")
    assert [path.name for path in weight_files(model_folder)] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "model.safetensors.index.json",
            b'{"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}',
            "1 files of the weights are missing, the first is model-2.safetensors",
        ),
        ("model.safetensors.index.json", b'{"weight_map": 3}', "index.json cannot be used"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1", "git-lfs pointer"),
        ("model.safetensors", b"", "is empty"),
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b"[]", "config.json: expected an object"),
    ],
)
def test_a_model_that_is_not_whole_is_none(
    model_folder: Path, name: str, content: bytes, message: str
) -> None:
    (model_folder / name).write_bytes(content)
    with pytest.raises(ModelMissing, match=message):
        find_model(str(model_folder), None, None, offline=True)


def test_a_link_of_the_cache_to_nothing_is_a_missing_file(model_folder: Path) -> None:
    weights = model_folder / "model.safetensors"
    weights.unlink()
    weights.symlink_to("../../blobs/gone")
    with pytest.raises(ModelMissing, match="no weights"):
        find_model(str(model_folder), None, None, offline=True)
