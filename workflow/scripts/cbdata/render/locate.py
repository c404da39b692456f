"""Where a tokenizer's files are: a local directory, or a model hub id in a cache that is already
filled. Nothing is fetched.
"""

from __future__ import annotations

from pathlib import Path

from cbdata.hub import find_snapshot, hub_id, model_folders
from cbdata.render.settings import TokenizerMissing


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
        TokenizerMissing: There is none; names every place looked at and the way to get the files.
    """
    local = Path(tokenizer).expanduser()
    if local.is_dir():
        if not (local / "tokenizer.json").is_file():
            raise TokenizerMissing(
                f"{local}: expected a tokenizer.json. Hint: give the directory of a fast tokenizer,"
                " as save_pretrained writes it"
            )
        return local, hub_id(local) or local.resolve().name
    if tokenizer.startswith((".", "/", "~")) or tokenizer.count("/") != 1:
        raise TokenizerMissing(
            f"tokenizer {tokenizer!r}: no such directory, and not a hub id (org/name). Hint:"
            " correct the path in the config key tokenizer"
        )
    snapshot = find_snapshot(tokenizer, revision, cache_dir, "tokenizer.json")
    if snapshot is not None:
        return snapshot, tokenizer
    looked = [str(folder) for folder in model_folders(tokenizer, cache_dir)]
    wanted = f" at revision {revision}" if revision else ""
    where = f" --cache-dir {cache_dir}" if cache_dir else ""
    raise TokenizerMissing(
        f"tokenizer {tokenizer!r}{wanted}: no tokenizer.json in {' or '.join(looked)}. Hint: run"
        f" `hf download {tokenizer} --include '*token*' '*.jinja'{where}` on a machine with network"
        " access, or set tokenizer to a local directory"
    )
