"""DS/DR twins side by side."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cbdata.export.pairs import export_pairs
from cbdata.export.rows import ExportError
from tests.records import Corpus, make_mask, make_render


@pytest.mark.parametrize("row_group_tokens", [1, 1 << 20])
def test_twins_stand_side_by_side(tmp_path: Path, row_group_tokens: int) -> None:
    corpus = Corpus(pairs=3, validation_pairs=1)
    del corpus.masks[3]
    corpus.masks[0]["pair_id"] = None
    corpus.write(tmp_path)
    counts = export_pairs(
        [corpus.mask_file], [corpus.render_file], tmp_path / "pairs", row_group_tokens
    )
    assert counts == {"rows_in": 7, "pairs": 2, "without_twin": {"dr": 1, "ds": 1}, "no_pair_id": 1}
    renders = {render["render_id"]: render for render in corpus.renders}
    by_trace = {mask["trace_id"]: (mask, renders[mask["render_id"]]) for mask in corpus.masks}
    rows = pq.read_table(tmp_path / "pairs").to_pylist()
    assert [row["split"] for row in rows] == ["train", "validation"]
    for row in rows:
        for side, category in (("ds", "harmful"), ("dr", "benign")):
            mask, render = by_trace[row[f"{side}_trace_id"]]
            assert row["pair_id"] == mask["pair_id"]
            assert row[f"{side}_category"] == mask["category"] == category
            assert row[f"{side}_input_ids"] == render["input_ids"]
            for key in ("labels", "loss_mask"):
                assert row[f"{side}_{key}"] == mask[key]


def test_each_split_has_a_file_of_its_own(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=1).write(tmp_path)
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs/gone.parquet").touch()
    export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs")
    rows = {path.name: pq.read_metadata(path).num_rows for path in (tmp_path / "pairs").iterdir()}
    assert rows == {"train.parquet": 2, "validation.parquet": 1}


def test_no_pairs_leave_an_empty_folder(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    del corpus.masks[1]
    corpus.write(tmp_path)
    export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs")
    assert list((tmp_path / "pairs").iterdir()) == []


def first_difference(first: list[int], second: list[int]) -> int:
    index = 0
    while index < min(len(first), len(second)) and first[index] == second[index]:
        index += 1
    return index


def test_the_tokens_that_twins_share(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=0)
    ds, dr = corpus.renders[2], corpus.renders[3]
    dr["input_ids"] = [*ds["input_ids"][: ds["prompt"]["length"]], 1, 2, 3]
    dr["attention_mask"] = [1] * len(dr["input_ids"])
    dr["prompt"]["length"] = ds["prompt"]["length"]
    corpus.masks[3] |= {"labels": dr["input_ids"], "loss_mask": [1.0] * len(dr["input_ids"])}
    corpus.write(tmp_path)
    export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs")
    other, same = pq.read_table(tmp_path / "pairs").to_pylist()
    for row in (other, same):
        assert row["shared_prefix_tokens"] == first_difference(
            row["ds_input_ids"], row["dr_input_ids"]
        )
    prompts = [
        other[f"{side}_input_ids"][: other[f"{side}_prompt_length"]] for side in ("ds", "dr")
    ]
    assert other["divergence_token"] == first_difference(*prompts) < len(prompts[0])
    assert same["divergence_token"] is None
    assert same["shared_prefix_tokens"] >= ds["prompt"]["length"]


def test_twins_with_second_masks(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    for trace, render, mask in zip(corpus.traces, corpus.renders, corpus.masks, strict=True):
        mask["pooling_mask"] = make_mask(trace, render, "tool_calls_only")["loss_mask"]
        mask["pooling_policy_id"] = "tool_calls_only"
    corpus.write(tmp_path)
    export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs", 1)
    by_trace = {mask["trace_id"]: mask for mask in corpus.masks}
    for row in pq.read_table(tmp_path / "pairs").to_pylist():
        for side in ("ds", "dr"):
            mask = by_trace[row[f"{side}_trace_id"]]
            for key in ("pair_id", "pooling_mask", "pooling_policy_id", "policy_id"):
                assert row[key if key == "pair_id" else f"{side}_{key}"] == mask[key]
    del corpus.masks[0]["pooling_mask"]
    corpus.write(tmp_path)
    with pytest.raises(ExportError, match="expected a pooling_mask in every row"):
        export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs")


@pytest.mark.parametrize("pooling", [False, True])
def test_only_the_turns_that_were_completed_are_twins(tmp_path: Path, pooling: bool) -> None:
    """rows: turn gives a trace several renders and masks; those that end before its last turn have
    the pair's id, too.
    """
    corpus = Corpus(pairs=2, validation_pairs=0)
    for render in corpus.renders:
        render["render_options"]["rows"] = "turn"
        render |= {"turn_index": 2, "last_turn": True}
    for place in (3, 0, 0):  # one turn before the last DR's, two before the first DS's
        trace = corpus.traces[place]
        number = len(corpus.renders)
        earlier = make_render(trace, corpus.vocabulary) | {"turn_index": 0, "last_turn": False}
        earlier["render_id"] = f"render_{number:032x}"
        earlier["render_options"]["rows"] = "turn"
        mask = make_mask(trace, earlier)
        corpus.renders.insert(place, earlier)
        corpus.masks.insert(place, mask)
    if pooling:
        for mask in corpus.masks:
            mask["pooling_mask"], mask["pooling_policy_id"] = mask["loss_mask"], "assistant_only"
    corpus.write(tmp_path)
    counts = export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs.parquet", 1)
    assert counts == {
        "rows_in": 7,
        "pairs": 2,
        "without_twin": {},
        "no_pair_id": 0,
        "earlier_turns": 3,
    }
    last = {each["render_id"]: each for each in corpus.renders if each["last_turn"]}
    ids = {mask["trace_id"]: last[mask["render_id"]] for mask in corpus.masks
           if mask["render_id"] in last}  # fmt: skip
    rows = pq.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert [(row["ds_trace_id"], row["dr_trace_id"]) for row in rows] == [
        (corpus.traces[0]["id"], corpus.traces[1]["id"]),
        (corpus.traces[2]["id"], corpus.traces[3]["id"]),
    ]
    for row in rows:
        for side in ("ds", "dr"):
            assert row[f"{side}_input_ids"] == ids[row[f"{side}_trace_id"]]["input_ids"]


def test_two_policies_of_one_trace_are_refused(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    corpus.masks.append(make_mask(corpus.traces[0], corpus.renders[0], "tool_calls_only"))
    corpus.write(tmp_path)
    with pytest.raises(
        ExportError, match=r"demo.jsonl:3: expected one ds mask .* the first is at .*demo.jsonl:1"
    ):
        export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()


def test_twins_in_two_splits_are_refused(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    corpus.masks[1]["split"] = "validation"
    corpus.write(tmp_path)
    with pytest.raises(ExportError, match="expected twins in one split"):
        export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs")
