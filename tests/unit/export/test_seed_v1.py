"""Files by category in the fields of the seed document's system, and their pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.export import ExportFiles
from cbdata.export.rows import ExportError
from cbdata.export.seed_v1 import write
from tests.records import Corpus
from tests.unit.export.seed_schemas import LOSSMASK, RENDER, TRACE, faults


def export(corpus: Corpus, folder: Path) -> dict[str, Any]:
    files = ExportFiles((corpus.trace_file,), (corpus.render_file,), (corpus.mask_file,))
    return write(files, {"rows": folder / "rows", "counts": folder / "counts.json"}, {})


def rows(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_files_by_split_and_category(tmp_path: Path) -> None:
    corpus = Corpus(pairs=3, validation_pairs=1)
    generation = {"dr_context": "restored"}
    corpus.traces[3]["raw_metadata"]["generation"] = generation
    corpus.traces[7]["raw_metadata"]["generation"] = {"dr_context": "removed"}
    lost = corpus.masks.pop(1)
    corpus.write(tmp_path)
    counts = export(corpus, tmp_path)
    assert counts == {
        "traces": {"benign": 4, "harmful": 4},
        "masks": {"benign": 3, "harmful": 4},
        "pairs": {
            "harmful_alone": 1,
            "injection_removal": 1,
            "injection_restored": 1,
            "same_skeleton": 1,
        },
    }
    assert orjson.loads((tmp_path / "counts.json").read_bytes()) == counts
    masks = {mask["trace_id"]: mask for mask in corpus.masks}
    renders = {render["trace_id"]: render for render in corpus.renders}
    for split in ("train", "validation"):
        folder = tmp_path / "rows" / split
        for category in ("harmful", "benign"):
            own = [
                trace["id"]
                for trace in corpus.traces
                if (trace["split"], trace["labels"]["category"]) == (split, category)
            ]
            found = {
                kind: rows(folder / f"{category}_{kind}.jsonl")
                for kind in ("traces", "renders", "lossmasks")
            }
            assert [row["id"] for row in found["traces"]] == own
            trained = [trace_id for trace_id in own if trace_id != lost["trace_id"]]
            for kind in ("renders", "lossmasks"):
                assert [row["trace_id"] for row in found[kind]] == trained
            for render, mask in zip(found["renders"], found["lossmasks"], strict=True):
                assert mask["render_id"] == render["render_id"]
                assert render["input_ids"] == renders[render["trace_id"]]["input_ids"]
                assert mask["loss_mask"] == masks[render["trace_id"]]["loss_mask"]
            for kind, schema in (("traces", TRACE), ("renders", RENDER), ("lossmasks", LOSSMASK)):
                assert [fault for row in found[kind] for fault in faults(schema, row)] == []
    ids = [trace["id"] for trace in corpus.traces]
    assert rows(tmp_path / "rows/train/contrastive_pairs.jsonl") == [
        {
            "harmful_trace_id": ids[2],
            "benign_trace_id": ids[3],
            "pair_type": "injection_restored",
        },
        {"harmful_trace_id": ids[4], "benign_trace_id": ids[5], "pair_type": "same_skeleton"},
    ]
    assert rows(tmp_path / "rows/validation/contrastive_pairs.jsonl") == [
        {"harmful_trace_id": ids[6], "benign_trace_id": ids[7], "pair_type": "injection_removal"},
    ]


def test_a_category_without_rows_has_its_files_too(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    for records in (corpus.traces, corpus.renders, corpus.masks):
        del records[1]
    corpus.write(tmp_path)
    assert export(corpus, tmp_path)["pairs"] == {"harmful_alone": 1}
    files = {path.name: len(rows(path)) for path in (tmp_path / "rows/train").iterdir()}
    assert files == {
        "harmful_traces.jsonl": 1,
        "harmful_renders.jsonl": 1,
        "harmful_lossmasks.jsonl": 1,
        "benign_traces.jsonl": 0,
        "benign_renders.jsonl": 0,
        "benign_lossmasks.jsonl": 0,
        "contrastive_pairs.jsonl": 0,
    }


def test_twins_in_two_splits_are_refused(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    corpus.masks[1]["split"] = "validation"
    corpus.write(tmp_path)
    with pytest.raises(ExportError, match="expected twins in one split"):
        export(corpus, tmp_path)


def test_a_mask_without_its_render_is_refused(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    del corpus.renders[0]
    corpus.write(tmp_path)
    with pytest.raises(ExportError, match="expected render"):
        export(corpus, tmp_path)
