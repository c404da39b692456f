"""Finding the files to check and telling their kind from what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

from cbdata.records import STAGE_FOLDERS

KINDS = ("traces", "renders", "lossmasks", "rejects", "stats")
MARKS = {
    "traces": {"messages"},
    "renders": {"input_ids", "alignment"},
    "lossmasks": {"loss_mask"},
    "rejects": {"reason", "stage"},
}


class UnknownFile(ValueError):
    """A file that is none of the formats, or cannot be opened."""


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """The files that some files and folders stand for.

    Of a folder with ``traces``, ``renders`` or ``lossmasks`` in it (an output base) only those,
    ``stats`` and ``rejects`` are taken; of any other folder, every ``.jsonl``. Raises UnknownFile
    for a path that does not exist.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_file():
            found.append(path)
            continue
        if not path.is_dir():
            raise UnknownFile(
                f"{path} does not exist. Hint: give trace, render, loss mask, reject or stats"
                " files, or the folder that holds them"
            )
        roots = (
            [path / kind for kind in KINDS if (path / kind).is_dir()]
            if any((path / kind).is_dir() for kind in KINDS[:3])
            else [path]
        )
        for root in roots:
            suffixes = (".json",) if root.name == "stats" else (".jsonl",)
            found += sorted(
                file
                for file in root.rglob("*")
                if file.suffix in suffixes and not file.name.startswith(".")
            )
    # The run's own summary stands beside the stats of the stages.
    return [
        file
        for file in dict.fromkeys(found)
        if not (file.parent.name == "stats" and file.suffix == ".json")
    ]


def kind_of(path: Path) -> str | None:
    """One of KINDS; an empty file is of the kind of the folder it lies in, or None. Raises
    UnknownFile for anything else.
    """
    with open(path, "rb") as handle:
        data = handle.read() if path.suffix == ".json" else handle.readline()
    if not data.strip():
        return next((parent.name for parent in path.parents if parent.name in KINDS), None)
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnknownFile(
            f"{path}:1: expected a JSON object, got {data[:80]!r} ({error})"
        ) from error
    keys = set(record) if isinstance(record, dict) else set()
    if {"stage", "counts"} <= keys:
        return "stats"
    for kind, marks in MARKS.items():
        if marks <= keys:
            return kind
    raise UnknownFile(
        f"{path}:1: expected a trace, render, loss mask, reject or stats file, got an object with"
        f" {sorted(keys)[:8]}"
    )


def stage_paths(stats: Path) -> tuple[Path, Path] | None:
    """Data and reject file of ``{base}/stats/{stage}/{name}.json``, if the stats file lies in such
    a structure.
    """
    for base, stage in (
        (parent.parent, child)
        for parent, child in zip(stats.parents[1:], stats.parents, strict=False)
        if parent.name == "stats"
    ):
        if stage.name in STAGE_FOLDERS:
            name = stats.relative_to(stage).with_suffix(".jsonl")
            return base / STAGE_FOLDERS[stage.name] / name, base / "rejects" / stage.name / name
    return None
