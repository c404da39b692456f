"""The ``export`` folder: ``data/{split}.parquet``, ``manifest.json`` with counts and hashes,
``README.md`` as the data set card.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cbdata.atomic_file import write_atomic
from cbdata.export import ExportFiles
from cbdata.export.card import dataset_card
from cbdata.export.parquet import ROW_GROUP_TOKENS, SplitWriter, read_metadata
from cbdata.export.rows import TrainingRow, read_rows
from cbdata.json_file import write_json
from cbdata.lookup import RecordIndex, read_places
from cbdata.progress import Progress
from cbdata.version import __version__


@dataclass
class SplitCounts:
    """What one split holds. ``trained_tokens`` counts tokens with a loss weight above 0."""

    rows: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    zero_weight_rows: int = 0
    paired_rows: int = 0
    by_category: Counter[str] = field(default_factory=Counter)
    by_class: Counter[str] = field(default_factory=Counter)
    by_policy: Counter[str] = field(default_factory=Counter)
    by_pooling_policy: Counter[str] = field(default_factory=Counter)

    def add(self, row: TrainingRow) -> None:
        """Count one row."""
        self.rows += 1
        self.tokens += len(row.input_ids)
        self.trained_tokens += int((row.loss_mask > 0).sum())
        self.zero_weight_rows += row.sample_weight == 0
        self.paired_rows += row.pair_id is not None
        self.by_category[row.category] += 1
        self.by_class[row.class_id] += 1
        self.by_policy[row.policy_id] += 1
        if row.pooling_policy_id is not None:
            self.by_pooling_policy[row.pooling_policy_id] += 1

    def as_dict(self) -> dict[str, Any]:
        """Plain values in a fixed order."""
        plain = {
            name: getattr(self, name)
            for name in ("rows", "tokens", "trained_tokens", "zero_weight_rows", "paired_rows")
        }
        counters = {
            name: dict(sorted(getattr(self, name).items()))
            for name in ("by_category", "by_class", "by_policy")
        }
        if self.by_pooling_policy:
            counters["by_pooling_policy"] = dict(sorted(self.by_pooling_policy.items()))
        return plain | counters


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


def _origins(traces: Sequence[Path], exported: set[str]) -> dict[str, list[dict[str, Any]]]:
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
            generation = trace["raw_metadata"].get("generation")
            if generation:
                models[
                    (
                        generation["model"],
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


def write(files: ExportFiles, outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Write the export folder, the one of the output ``card``.

    Returns:
        Rows, tokens and tokens with loss by split.

    Raises:
        ExportError: The files do not fit together.
    """
    manifest = export_parquet(files.lossmasks, files.renders, files.traces, outputs["card"].parent)
    return {
        split: {name: counts[name] for name in ("rows", "tokens", "trained_tokens")}
        for split, counts in manifest["splits"].items()
    }


def export_parquet(
    lossmasks: Sequence[Path],
    renders: Sequence[Path],
    traces: Sequence[Path],
    out: Path,
    row_group_tokens: int = ROW_GROUP_TOKENS,
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

    Raises:
        ExportError: Masks and renders do not fit together. No file gets its name.
        JsonlError: A line cannot be read. No file gets its name.
    """
    splits: dict[str, SplitCounts] = {}
    tokenizers: Counter[tuple[str, ...]] = Counter()
    exported: set[str] = set()
    progress = Progress("export")
    with (
        RecordIndex(renders, "render_id") as index,
        SplitWriter(out / "data", row_group_tokens) as writer,
    ):
        for row, render in read_rows(lossmasks, index):
            writer.add(row)
            splits.setdefault(row.split, SplitCounts()).add(row)
            tokenizers[_renderer(render)] += 1
            exported.add(row.trace_id)
            progress.add()
        paths = writer.paths()
    progress.finish()
    for stale in set((out / "data").glob("*.parquet")) - set(paths.values()):
        stale.unlink()
    names = ("tokenizer_id", "tokenizer_sha256", "chat_template_name", "chat_template_sha256")
    manifest: dict[str, Any] = {
        "format": "circuit-breaker training rows, version 1",
        "written_by": f"cbdata {__version__}",
        "splits": {split: counts.as_dict() for split, counts in sorted(splits.items())},
        "files": {
            f"data/{path.name}": read_metadata(path) | {"sha256": file_sha256(path), "split": split}
            for split, path in paths.items()
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
