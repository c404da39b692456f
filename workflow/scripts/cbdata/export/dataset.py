"""The ``export`` folder: ``{split}.parquet`` in ``data``, and the same rows by category in
``harmful`` and ``benign``; ``manifest.json`` with counts and hashes, ``README.md`` as the data set
card.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from cbdata.atomic_file import write_atomic
from cbdata.disk_table import DiskTable
from cbdata.export import ExportFiles
from cbdata.export.card import dataset_card
from cbdata.export.counts import SplitCounts, length_quantiles
from cbdata.export.parquet import ROW_GROUP_TOKENS, SplitWriter, read_metadata, row_table
from cbdata.export.resample import ResampleCounts, resample
from cbdata.export.rows import TrainingRow, read_rows
from cbdata.json_file import write_json
from cbdata.lookup import RecordIndex, read_places
from cbdata.progress import Progress
from cbdata.render.locate import locate_tokenizer
from cbdata.render.settings import TokenizerError
from cbdata.render.tokenizer import load_tokenizer
from cbdata.tools import INLINE
from cbdata.version import __version__

CATEGORIES = ("harmful", "benign")
Joined = tuple[TrainingRow, dict[str, Any]]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _renderer(render: dict[str, Any]) -> tuple[str, ...]:
    options = render["render_options"]
    return (
        render["tokenizer_id"],
        render["tokenizer_sha256"],
        options["chat_template_name"],
        render["chat_template_sha256"],
    )


def _model_name(model: str) -> str:
    """A model without the folder that it lies in, which is no one else's business."""
    local = Path(model).is_absolute() or model.count("/") > 1
    return Path(model).name if local else model


def _origins(traces: Sequence[Path], exported: DiskTable) -> dict[str, list[dict[str, Any]]]:
    """Where the exported traces come from: sources, tool schemas and generating models, each with
    its number of traces.
    """
    sources: Counter[tuple[Any, ...]] = Counter()
    schemas: Counter[tuple[Any, ...]] = Counter()
    models: Counter[tuple[Any, ...]] = Counter()
    for path in traces:
        for _, trace in read_places(path):
            if trace["id"] not in exported:
                continue
            sources[(trace["source"]["dataset"], trace["source"]["file"])] += 1
            schema = trace["raw_metadata"].get("tool_schema_ref")
            if schema:
                schemas[(schema["version"], schema["digest"])] += 1
            elif "tools" in trace:
                schemas[(INLINE, "-")] += 1
            generation = trace["raw_metadata"].get("generation")
            if generation:
                models[
                    (
                        _model_name(generation["model"]),
                        generation.get("revision"),
                        generation["backend"],
                        generation.get("version"),
                    )
                ] += 1

    def rows(counter: Counter[tuple[Any, ...]], names: tuple[str, ...]) -> list[dict[str, Any]]:
        return [
            dict(zip(names, key, strict=True)) | {"traces": count}
            for key, count in sorted(counter.items(), key=lambda item: str(item[0]))
        ]

    return {
        "sources": rows(sources, ("dataset", "file")),
        "tool_schemas": rows(schemas, ("version", "digest")),
        "generators": rows(models, ("model", "revision", "backend", "version")),
    }


def write(
    files: ExportFiles, outputs: Mapping[str, Path], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the export folder, the one of the output ``card``.

    Args:
        files: What is exported.
        outputs: Where it goes.
        options: ``export_weights``, see ``export_parquet``; ``tokenizer`` and ``cache_dir`` say
            where the tokenizer is, for the card's word on padding.

    Returns:
        Rows, tokens and tokens with loss by split.

    Raises:
        ExportError: The files do not fit together.
    """
    manifest = export_parquet(
        files.lossmasks,
        files.renders,
        files.traces,
        outputs["card"].parent,
        weights=options["export_weights"],
        tokenizer=options["tokenizer"],
        cache_dir=options["cache_dir"],
    )
    return {
        split: {name: counts[name] for name in ("rows", "tokens", "trained_tokens")}
        for split, counts in manifest["splits"].items()
    }


def _pad_token(
    tokenizer: str | None, cache_dir: str | None, rendered: Collection[tuple[str, ...]]
) -> dict[str, Any] | None:
    """The pad token of the one tokenizer that all rows are of, as ``{text, id}``; None where it has
    none, or is not here.
    """
    sha256 = {key[1] for key in rendered}
    if tokenizer is None or len(sha256) != 1:
        return None
    try:
        found = load_tokenizer(locate_tokenizer(tokenizer, cache_dir)[0])
    except (TokenizerError, OSError):
        return None
    token = found.control.get(found.special.get("pad_token", ""))
    if token is None or found.sha256 not in sha256:
        return None
    return {"text": token.text, "id": token.id}


def _second_masks(rows: Iterator[Joined]) -> tuple[bool, Iterable[Joined]]:
    """Whether the rows have a second mask, as the first one tells, and all of them again."""
    first = next(rows, None)
    if first is None:
        return False, ()
    return first[0].pooling_mask is not None, chain((first,), rows)


def export_parquet(
    lossmasks: Sequence[Path],
    renders: Sequence[Path],
    traces: Sequence[Path],
    out: Path,
    row_group_tokens: int = ROW_GROUP_TOKENS,
    weights: str = "columns",
    tokenizer: str | None = None,
    cache_dir: str | None = None,
) -> dict[str, Any]:
    """Write the export folder and return its manifest.

    Row order is that of the loss mask files. Parquet files of splits that are no longer there are
    removed.

    Args:
        lossmasks: The masks of one policy and step, a file a data set.
        renders: The renders that they belong to.
        traces: The traces of those renders, for sources, models and tool schemas.
        out: The folder.
        row_group_tokens: About how many tokens a row group holds.
        weights: ``columns`` leaves them to the trainer; ``resample`` makes them real by repetition
            and dropping, see ``cbdata.export.resample``.
        tokenizer: The renders' tokenizer, a directory or hub id, for its pad token.
        cache_dir: Where hub ids are looked up.

    Raises:
        ExportError: Masks and renders do not fit together. No file gets its name.
        JsonlError: A line cannot be read. No file gets its name.
    """
    splits: dict[str, SplitCounts] = {}
    tokenizers: Counter[tuple[str, ...]] = Counter()
    exported = DiskTable()
    resampled = ResampleCounts()
    progress = Progress("export")
    with RecordIndex(renders, "render_id") as index:
        pooling, joined = _second_masks(read_rows(lossmasks, index))
        folders = [out / name for name in ("data", *CATEGORIES)]
        with SplitWriter(folders, row_table(pooling=pooling), row_group_tokens) as writer:
            for row, render in joined:
                counts = splits.setdefault(row.split, SplitCounts())
                counts.add_side(row)
                for copy in resample(row, resampled) if weights == "resample" else (row,):
                    for folder in ("data", row.category):
                        writer.add(out / folder, row.split, copy, len(row.input_ids))
                    counts.add(copy)
                tokenizers[_renderer(render)] += 1
                exported.add(row.trace_id)
                progress.add()
    progress.finish()
    names = ("tokenizer_id", "tokenizer_sha256", "chat_template_name", "chat_template_sha256")
    lengths = sum((counts.lengths for counts in splits.values()), Counter[int]())
    manifest: dict[str, Any] = {
        "format": "circuit-breaker training rows, version 2",
        "written_by": f"cbdata {__version__}",
        "weights": weights,
        **({"resampled": asdict(resampled)} if weights == "resample" else {}),
        "lengths": length_quantiles(lengths),
        "pad_token": _pad_token(tokenizer, cache_dir, tokenizers),
        "splits": {split: counts.as_dict() for split, counts in sorted(splits.items())},
        "files": {
            path.relative_to(out).as_posix(): read_metadata(path)
            | {"sha256": file_sha256(path), "split": path.stem}
            for path in writer.paths()
        },
        "renders": [
            dict(zip(names, key, strict=True)) | {"rows": count}
            for key, count in sorted(tokenizers.items())
        ],
        **_origins(traces, exported),
        "inputs": {str(path.name): file_sha256(path) for path in sorted(lossmasks)},
    }
    write_json(out / "manifest.json", manifest)
    write_atomic(out / "README.md", dataset_card(manifest).encode())
    return manifest
