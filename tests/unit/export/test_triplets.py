"""Triplets of ids: prefix lengths, windows, and what gives none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from cbdata.export import ExportFiles
from cbdata.export.rows import ExportError, TrainingRow
from cbdata.export.triplets import triplet, window, write
from tests.records import Corpus


def row(ids: list[int], prompt: int, mask: list[float], **changes: Any) -> TrainingRow:
    """A training row of some ids."""
    fields: dict[str, Any] = {
        "input_ids": np.array(ids, np.int32),
        "attention_mask": np.ones(len(ids), np.int8),
        "labels": np.array(ids, np.int32),
        "loss_mask": np.array(mask, np.float32),
        "sample_weight": 1.0,
        "category": "harmful",
        "class_id": "agentdojo/ds",
        "policy_id": "completion_window",
        "trace_id": "trace_a",
        "pair_id": "trace_s",
        "prompt_length": prompt,
        "split": "train",
    }
    return TrainingRow(**(fields | changes))


def test_a_triplet_of_two_twins() -> None:
    ds = row([1, 2, 3, 9, 5, 6, 7], 4, [0, 0, 0, 0, 1, 1, 0])
    dr = row([1, 2, 4, 5], 3, [0, 0, 0, 1], category="benign")
    task = {"family": "banking", "name": "user_task_3", "variant": "injection_task_4"}
    assert triplet("trace_s", ds, dr, task) == {
        "pair_id": "trace_s",
        "suite": "banking",
        "user_task_id": "user_task_3",
        "injection_task_id": "injection_task_4",
        "policy_id": "completion_window",
        "shared_prefix_tokens": 2,
        "bad_ids": [1, 2, 3, 9, 5, 6, 7],
        "bad_prefix_len": 4,
        "bad_window": [4, 6],
        "target_ids": [1, 2, 4, 5],
        "target_prefix_len": 3,
        "target_window": [3, 4],
        "anchor_ids": [1, 2, 4, 5],
        "anchor_prefix_len": 3,
        "anchor_window": [3, 4],
    }


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([0, 0, 1, 1, 1], (2, 5)),
        ([1, 1, 0, 0.5, 0], (3, 4)),  # what a policy trains of the prompt is not the window
        ([0, 0, 1, 0, 1], (2, 5)),
        ([1, 1, 0, 0, 0], None),
    ],
)
def test_windows(mask: list[float], expected: tuple[int, int] | None) -> None:
    assert window(row([1, 2, 3, 4, 5], 2, mask)) == expected


def test_twins_without_a_window_give_a_reason() -> None:
    whole, cut = row([1, 2], 1, [0, 1]), row([1, 2], 2, [0, 0])
    task = {"family": "f", "name": None, "variant": None}
    assert triplet("p", cut, whole, task) == "harmful_without_window"
    assert triplet("p", whole, cut, task) == "benign_without_window"


def export(corpus: Corpus, folder: Path) -> dict[str, Any]:
    files = ExportFiles((corpus.trace_file,), (corpus.render_file,), (corpus.mask_file,))
    return write(files, {"rows": folder / "rows", "counts": folder / "counts.json"}, {})


def test_every_pair_of_a_run_is_written_or_counted(tmp_path: Path) -> None:
    corpus = Corpus(pairs=3, validation_pairs=1)
    length = len(corpus.masks[2]["loss_mask"])
    corpus.masks[2] |= {"loss_mask": [0.0] * length, "labels": [-100] * length}
    del corpus.masks[5]
    corpus.write(tmp_path)
    counts = export(corpus, tmp_path)
    renders = {render["trace_id"]: render for render in corpus.renders}
    written = {}
    for split, ds, dr in (("train", 0, 1), ("validation", 6, 7)):
        [found] = map(orjson.loads, (tmp_path / f"rows/{split}.jsonl").read_bytes().splitlines())
        for name, index in (("bad", ds), ("target", dr), ("anchor", dr)):
            render = renders[corpus.traces[index]["id"]]
            assert found[f"{name}_ids"] == render["input_ids"]
            start = found[f"{name}_prefix_len"]
            assert start == render["prompt"]["length"]
            span = render["alignment"]["assistant_spans"][-1]
            assert found[f"{name}_window"] == [span["token_start"], span["token_end"]]
        assert found["pair_id"] == corpus.masks[ds if ds == 0 else 5]["pair_id"]
        first, last = found["bad_window"]
        written[str(last - first)] = written.get(str(last - first), 0) + 1
    assert counts == {
        "rows_in": 7,
        "pairs": 3,
        "without_twin": {"ds": 1},
        "no_pair_id": 0,
        "written": 2,
        "left_out": {"harmful_without_window": 1},
        "bad_window_tokens": written,
    }
    assert orjson.loads((tmp_path / "counts.json").read_bytes()) == counts


def test_masks_of_other_traces_are_refused(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    corpus.traces.pop(0)
    corpus.write(tmp_path)
    with pytest.raises(ExportError, match=r"expected trace trace_demo_.* found none"):
        export(corpus, tmp_path)
    assert list((tmp_path / "rows").iterdir()) == []
