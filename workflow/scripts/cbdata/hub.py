"""Models and tokenizers in a Hugging Face cache on this machine's disks. Nothing is fetched."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def caches(cache_dir: str | None) -> list[Path]:
    """Folders that may hold ``models--org--name``, in the order of Hugging Face's own variables."""
    if cache_dir:
        return [Path(cache_dir), Path(cache_dir) / "hub"]
    found = [Path(os.environ["HF_HUB_CACHE"])] if os.environ.get("HF_HUB_CACHE") else []
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "huggingface"
    )
    return [*found, Path(home) / "hub"]


def model_folders(model: str, cache_dir: str | None) -> list[Path]:
    """The folders that a model of the hub would have in each cache; they need not exist."""
    return [cache / ("models--" + model.replace("/", "--")) for cache in caches(cache_dir)]


def find_snapshot(
    model: str, revision: str | None, cache_dir: str | None, file: str
) -> Path | None:
    """The snapshot of a model in the first cache that has it.

    Args:
        model: A hub id such as ``org/name``.
        revision: A branch, a tag or a commit; None means ``main``, or the only snapshot there is.
        cache_dir: The cache; None means those that Hugging Face's variables name.
        file: A file that the snapshot must have.

    Returns:
        ``models--org--name/snapshots/{commit}``, or None where no cache has it.
    """
    for folder in model_folders(model, cache_dir):
        snapshot = _snapshot(folder, revision)
        if snapshot is not None and (snapshot / file).is_file():
            return snapshot
    return None


def _snapshot(folder: Path, revision: str | None) -> Path | None:
    name = revision or "main"
    reference = folder / "refs" / name
    commit = reference.read_text().strip() if reference.is_file() else name
    snapshots = folder / "snapshots"
    if (snapshots / commit).is_dir():
        return snapshots / commit
    present = sorted(snapshots.iterdir()) if snapshots.is_dir() else []
    return present[0] if revision is None and len(present) == 1 else None


def hub_id(folder: Path) -> str | None:
    """The hub id of a snapshot's folder inside a cache, None for any other folder."""
    folder = folder.absolute()
    model = folder.parent.parent.name
    if folder.parent.name != "snapshots" or not model.startswith("models--"):
        return None
    return model.removeprefix("models--").replace("--", "/", 1)


def sign_in(python: str = sys.executable) -> str:
    """How to sign in to the hub: by the command beside this Python, where there is one."""
    command = Path(python).with_name("hf")
    return f"`{command} auth login` or HF_TOKEN" if command.exists() else "HF_TOKEN"
