"""The model of a fill job as a local folder: found in the cache or on disk, with its fingerprint
and its context length.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cbdata.fill.weights import fault_of
from cbdata.hub import find_snapshot, model_folders

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".gguf")
WEIGHT_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SAMPLE_BYTES = 1 << 20
MODEL_FILES = ("*.json", "*.jinja", "*.model", "*.safetensors", "*.txt", "tokenizer*")
OTHER_COPIES = ("original/*", "consolidated*")
"""What a snapshot is made of here: safetensors weights, and no second copy of the same ones."""


class ModelMissing(RuntimeError):
    """The model is not where this job may look for it: says where it looked and how to get it
    there.
    """


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine's disks.

    ``fingerprint`` changes with the weights: the commit of a hub snapshot, or for a plain folder a
    SHA-256 over its configuration and over name, size, first and last mebibyte of every weight file
    (reading 140 GB to name them would cost minutes a job). ``context`` is the model's own longest
    sequence in tokens, ``commit`` the hub's name of the snapshot, None for a plain folder.
    """

    path: Path
    commit: str | None
    fingerprint: str
    context: int


def folder_fingerprint(folder: Path) -> str:
    """The fingerprint of a plain model folder."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name in ("config.json", "generation_config.json"):
            whole.update(path.name.encode() + b"\0" + path.read_bytes())
        elif path.suffix in WEIGHT_SUFFIXES:
            size = path.stat().st_size
            whole.update(f"{path.name}\0{size}\0".encode())
            with open(path, "rb") as handle:
                whole.update(handle.read(SAMPLE_BYTES))
                handle.seek(max(0, size - SAMPLE_BYTES))
                whole.update(handle.read(SAMPLE_BYTES))
    return whole.hexdigest()


def context_length(config: dict[str, Any]) -> int | None:
    """Longest sequence that a model's ``config.json`` allows (the text part's, in a multimodal
    one).
    """
    for part in (config.get("text_config"), config):
        if isinstance(part, dict):
            for key in (
                "max_position_embeddings",
                "n_positions",
                "max_sequence_length",
                "seq_length",
            ):
                value = part.get(key)
                if isinstance(value, int):
                    return value
    return None


def vocabulary_size(folder: Path) -> int | None:
    """How many tokens a model can write, by its ``config.json``; None where that does not say."""
    try:
        config = read_config(folder)
    except ModelMissing:
        return None
    for part in (config.get("text_config"), config):
        value = part.get("vocab_size") if isinstance(part, dict) else None
        if isinstance(value, int):
            return value
    return None


def find_model(
    model: str,
    revision: str | None,
    cache_dir: str | None,
    offline: bool,
    with_weights: bool = True,
) -> LocalModel:
    """Resolve a model to a folder, and read what is to be known of it.

    Args and Raises are those of ``find_folder``.
    """
    folder, commit = find_folder(model, revision, cache_dir, offline, with_weights)
    context = context_length(read_config(folder))
    if context is None:
        raise ModelMissing(f"{folder}/config.json: no context length. Hint: set max_model_len")
    return LocalModel(folder, commit, commit or folder_fingerprint(folder), context)


def find_folder(
    model: str,
    revision: str | None,
    cache_dir: str | None,
    offline: bool,
    with_weights: bool = True,
) -> tuple[Path, str | None]:
    """Resolve a model to a folder whose configuration and weights are whole and can be read.

    Args:
        model: A local folder, or a Hugging Face id such as ``org/name``.
        revision: Commit, tag or branch of an id; None for the cached ``main``, and for a folder.
        cache_dir: Hugging Face cache to look in; None for the user's own.
        offline: Download nothing.
        with_weights: Expect weights too; without, configuration and tokenizer are enough.

    Returns:
        The folder, and the hub's name of the snapshot (None for a plain folder).

    Raises:
        ModelMissing: There is no such model here, or a part of it is not there.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ModelMissing(
                f"model {model} is a local folder, which has no revision {revision!r}. Hint: leave"
                " model_revision out"
            )
        commit = None
    elif model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ModelMissing(
            f"model {model}: no such folder. Hint: give a folder with config.json and weights, or a"
            " Hugging Face id such as org/name"
        )
    else:
        folder = _snapshot(model, revision, cache_dir, offline)
        commit = folder.name
    if not (folder / "config.json").is_file():
        raise ModelMissing(
            f"{folder}: no config.json. Hint: expected an ordinary Hugging Face model folder"
        )
    if not with_weights:
        return folder, commit
    again = f"was the download broken off? Run `make cache-model MODEL={model}` again"
    weights = weight_files(folder)
    if not weights:
        suffixes = ", ".join(WEIGHT_SUFFIXES)
        raise ModelMissing(f"{folder}: no weights ({suffixes}). Hint: {again}")
    missing = sorted(_indexed(folder) - {path.name for path in weights})
    if missing:
        raise ModelMissing(
            f"{folder}: {len(missing)} files of the weights are missing, the first is {missing[0]}."
            f" Hint: {again}"
        )
    for path in weights:
        if fault := fault_of(path):
            raise ModelMissing(f"{path}: {fault}. Hint: {again}")
    return folder, commit


def read_config(folder: Path) -> dict[str, Any]:
    """A model's config.json. Raises ModelMissing where it is no JSON object."""
    try:
        config = orjson.loads((folder / "config.json").read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelMissing(f"{folder}/config.json cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ModelMissing(f"{folder}/config.json: expected an object")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The weights that an engine loads: those of the first suffix that there is."""
    for suffix in WEIGHT_SUFFIXES:
        found = sorted(
            path
            for path in folder.glob(f"*{suffix}")
            if path.exists() and not path.name.startswith("consolidated")
        )
        if found:
            return found
    return []


def _indexed(folder: Path) -> set[str]:
    """The weight files that the model's own index names."""
    for name in WEIGHT_INDEXES:
        if (folder / name).is_file():
            try:
                return set(orjson.loads((folder / name).read_bytes())["weight_map"].values())
            except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                raise ModelMissing(f"{folder / name} cannot be used: {error!r}") from error
    return set()


def _snapshot(model: str, revision: str | None, cache_dir: str | None, offline: bool) -> Path:
    if offline:
        snapshot = find_snapshot(model, revision, cache_dir, "config.json")
        if snapshot is None:
            looked = " or ".join(map(str, model_folders(model, cache_dir)))
            raise _missing(model, revision, f"no snapshot with a config.json in {looked}")
        return snapshot
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                model,
                revision=revision,
                cache_dir=cache_dir,
                allow_patterns=list(MODEL_FILES),
                ignore_patterns=list(OTHER_COPIES),
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        why = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise _missing(model, revision, why) from error


def _missing(model: str, revision: str | None, why: str) -> ModelMissing:
    wanted = model if revision is None else f"{model} at {revision}"
    where = f" REVISION={revision}" if revision else ""
    return ModelMissing(
        f"model {wanted} is not in the Hugging Face cache ({why}). Hint: on a machine with network"
        f" access run `make cache-model MODEL={model}{where}` with the same cache_dir, or give a"
        " local folder"
    )
