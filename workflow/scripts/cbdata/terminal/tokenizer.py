"""Finding the tokenizer that a trace was rendered with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from cbdata.render.locate import locate_tokenizer
from cbdata.render.tokenizer import load_tokenizer
from cbdata.run_config import FOLDER
from cbdata.terminal.find import NotFoundError


def find_tokenizer(
    run: Path, render: dict[str, Any], given: str | None = None, cache_dir: str | None = None
) -> Path:
    """The directory of the very tokenizer that a render was made with, told by its digest.

    Args:
        run: The run's ``output_base``; its settings name the tokenizer where the render names none
            that can be found.
        render: The render.
        given: The directory or hub id to take, without any search.
        cache_dir: Where hub ids are looked up, besides the caches of the run.

    Raises:
        NotFoundError: There is none; says where was looked.
    """
    names = [(given, cache_dir)] if given else list(_named(run, render, cache_dir))
    problems = []
    for name, cache in dict.fromkeys(names):
        try:
            folder, _ = locate_tokenizer(name, cache)
            digest = load_tokenizer(folder).sha256
        except (OSError, ValueError) as error:
            problems.append(str(error).partition(". Hint:")[0])
            continue
        if digest == render["tokenizer_sha256"]:
            return folder
        problems.append(f"{folder}: another tokenizer.json")
    raise NotFoundError(
        f"expected the tokenizer {render['tokenizer_id']} that the trace was rendered with, found"
        f" none: {'; '.join(problems)}. Hint: name its directory with --tokenizer"
    )


def _named(
    run: Path, render: dict[str, Any], cache_dir: str | None
) -> Iterator[tuple[str, str | None]]:
    """Names of tokenizers, each with the cache to look in: that of the render first, then those of
    the settings that the run was made with, the latest first.
    """
    yield render["tokenizer_id"], cache_dir
    files = sorted(
        (run / FOLDER).glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True
    )
    for file in files:
        try:
            settings = orjson.loads(file.read_bytes())
        except ValueError:
            continue
        cache = cache_dir or settings.get("cache_dir")
        for name in (settings.get("tokenizer"), settings.get("model"), render["tokenizer_id"]):
            if name:
                yield name, cache
