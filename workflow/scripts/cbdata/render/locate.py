"""Where a tokenizer's files are: a local directory, or a model hub id in a cache that is already
filled. Nothing is fetched.
"""

from __future__ import annotations

import os
from pathlib import Path

from cbdata.render.settings import TokenizerError


def caches(cache_dir: str | None) -> list[Path]:
    """Folders that may hold ``models--org--name``, in the order of Hugging Face's own variables."""
    if cache_dir:
        return [Path(cache_dir), Path(cache_dir) / "hub"]
    found = [Path(os.environ["HF_HUB_CACHE"])] if os.environ.get("HF_HUB_CACHE") else []
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "huggingface"
    )
    return [*found, Path(home) / "hub"]


def locate_tokenizer(
    tokenizer: str, cache_dir: str | None = None, revision: str | None = None
) -> tuple[Path, str]:
    """Find the directory of a tokenizer; nothing is downloaded.

    Args:
        tokenizer: A directory, or a hub id (org/name).
        cache_dir: Where hub ids are looked up; the user's own cache if None.
        revision: Branch, tag or commit of a hub id; ``main`` if None.

    Returns:
        The directory, and the id to write into renders: the hub id or the directory's name, never a
        path.

    Raises:
        TokenizerError: There is none; names every place looked at and the way to get the files.
    """
    local = Path(tokenizer).expanduser()
    if local.is_dir():
        if not (local / "tokenizer.json").is_file():
            raise TokenizerError(
                f"{local}: expected a tokenizer.json. Hint: give the directory of a fast tokenizer,"
                " as save_pretrained writes it"
            )
        return local, _name(local)
    if tokenizer.startswith((".", "/", "~")) or tokenizer.count("/") != 1:
        raise TokenizerError(
            f"tokenizer {tokenizer!r}: no such directory, and not a hub id (org/name). Hint:"
            " correct the path in the config key tokenizer"
        )
    looked = []
    for cache in caches(cache_dir):
        model = cache / ("models--" + tokenizer.replace("/", "--"))
        snapshot = _snapshot(model, revision)
        if snapshot is not None and (snapshot / "tokenizer.json").is_file():
            return snapshot, tokenizer
        looked.append(str(model))
    wanted = f" at revision {revision}" if revision else ""
    where = f" --cache-dir {cache_dir}" if cache_dir else ""
    raise TokenizerError(
        f"tokenizer {tokenizer!r}{wanted}: no tokenizer.json in {' or '.join(looked)}. Hint: run"
        f" `hf download {tokenizer} --include '*token*' '*.jinja'{where}` on a machine with network"
        " access, or set tokenizer to a local directory"
    )


def _snapshot(model: Path, revision: str | None) -> Path | None:
    """``models--org--name/snapshots/<commit>`` for a branch, tag or commit."""
    name = revision or "main"
    reference = model / "refs" / name
    commit = reference.read_text().strip() if reference.is_file() else name
    if (model / "snapshots" / commit).is_dir():
        return model / "snapshots" / commit
    present = sorted((model / "snapshots").iterdir()) if (model / "snapshots").is_dir() else []
    return present[0] if revision is None and len(present) == 1 else None


def _name(path: Path) -> str:
    """The hub id of a snapshot directory inside a cache, else the directory's own name."""
    path = path.absolute()
    if path.parent.name == "snapshots" and path.parent.parent.name.startswith("models--"):
        return path.parent.parent.name.removeprefix("models--").replace("--", "/", 1)
    return path.resolve().name
