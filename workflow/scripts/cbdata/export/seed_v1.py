"""Files by category in the fields of the seed document's system, as its trainer and its evaluator
read them, with the pairs of its contrastive mode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cbdata.disk_table import DiskTable
from cbdata.export import ExportFiles
from cbdata.export.jsonl_folder import JsonlFolder
from cbdata.export.pair_table import PairTable
from cbdata.export.rows import ExportError, find_render
from cbdata.export.seed_fields import seed_lossmask, seed_render, seed_trace
from cbdata.json_file import write_json
from cbdata.lookup import RecordIndex, read_places

PAIRS = "contrastive_pairs"
FILES = (
    *(
        f"{category}_{kind}"
        for category in ("harmful", "benign")
        for kind in ("renders", "lossmasks", "traces")
    ),
    PAIRS,
)
"""What a split's folder holds, with or without rows: the trainer opens all that it is given."""
PAIR_TYPES = {
    "removed": "injection_removal",
    "restored": "injection_restored",
    "kept": "injection_kept",
}
"""What became of the injection in the benign prompt, by ``dr_context``."""


def write(
    files: ExportFiles, outputs: Mapping[str, Path], _options: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the outputs ``rows`` and ``counts``; return the counts.

    ``rows`` has a folder for each split: renders, loss masks and traces of harmful and of benign
    rows, line by line in the same order in renders and masks, and the pairs.

    Args:
        files: Traces, renders and loss masks of the run.
        outputs: The folder ``rows`` and the file ``counts``.

    Raises:
        ExportError: The files do not fit together, or a split has a name that has no counterpart.
    """
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in ("traces", "masks", "pairs")}
    with JsonlFolder(outputs["rows"]) as folder:
        contexts = _traces(files, folder, counts["traces"])
        sides = _masks(files, folder, counts["masks"])
        for pair_id, pair in sides.pairs():
            _pair(pair_id, pair, contexts, folder, counts["pairs"])
    told = {kind: dict(sorted(count.items())) for kind, count in counts.items()}
    write_json(outputs["counts"], told)
    return told


def _open(folder: JsonlFolder, split: str) -> None:
    for name in FILES:
        folder.touch(split, name)


def _traces(files: ExportFiles, folder: JsonlFolder, count: Counter[str]) -> DiskTable:
    """Write every trace; return what became of the injection in its prompt by its id."""
    contexts = DiskTable(("context",))
    for path in files.traces:
        for _, trace in read_places(path):
            row, category = seed_trace(trace), trace["labels"]["category"]
            _open(folder, trace["split"])
            folder.add(trace["split"], row, f"{category}_traces")
            count[category] += 1
            generation = trace["raw_metadata"].get("generation", {})
            contexts.set(trace["id"], generation.get("dr_context"))
    return contexts


def _masks(files: ExportFiles, folder: JsonlFolder, count: Counter[str]) -> PairTable:
    """Write every mask with its render; return trace and split of both sides of each pair."""
    sides = PairTable()
    with RecordIndex(files.renders, "render_id") as renders:
        for path in files.lossmasks:
            for place, mask in read_places(path):
                render = seed_render(find_render(mask, renders, place))
                category, split = mask["category"], mask["split"]
                _open(folder, split)
                folder.add(split, render, f"{category}_renders")
                folder.add(split, seed_lossmask(mask, render), f"{category}_lossmasks")
                count[category] += 1
                if mask["pair_id"] is not None:
                    sides.set(mask["pair_id"], category, (mask["trace_id"], split))
    return sides


def _pair(
    pair_id: str,
    pair: Mapping[str, tuple[str, str]],
    contexts: DiskTable,
    folder: JsonlFolder,
    count: Counter[str],
) -> None:
    if len(pair) < 2:
        count[f"{next(iter(pair))}_alone"] += 1
        return
    (harmful, split), (benign, other) = pair["harmful"], pair["benign"]
    if split != other:
        raise ExportError(
            f"pair {pair_id}: expected twins in one split, got {split!r} and {other!r}. Hint: split"
            " the skeletons, not their completions"
        )
    (context,) = contexts.get(benign) or (None,)
    kind = PAIR_TYPES.get(context or "", "same_skeleton")
    row = {"harmful_trace_id": harmful, "benign_trace_id": benign, "pair_type": kind}
    folder.add(split, row, PAIRS)
    count[kind] += 1
