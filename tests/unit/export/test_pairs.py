"""DS/DR twins side by side, and plain prompt/output pairs."""

from __future__ import annotations

from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from cbdata.export.pairs import export_pairs
from cbdata.export.prompt_output import export_prompt_output, prompt_output
from cbdata.export.rows import ExportError
from tests.records import Corpus, call, make_mask, make_render, make_trace, message


@pytest.mark.parametrize("row_group_tokens", [1, 1 << 20])
def test_twins_stand_side_by_side(tmp_path: Path, row_group_tokens: int) -> None:
    corpus = Corpus(pairs=3, validation_pairs=1)
    del corpus.masks[3]
    corpus.masks[0]["pair_id"] = None
    corpus.write(tmp_path)
    counts = export_pairs(
        [corpus.mask_file], [corpus.render_file], tmp_path / "pairs.parquet", row_group_tokens
    )
    assert counts == {"rows_in": 7, "pairs": 2, "without_twin": {"dr": 1, "ds": 1}, "no_pair_id": 1}
    renders = {render["render_id"]: render for render in corpus.renders}
    by_trace = {mask["trace_id"]: (mask, renders[mask["render_id"]]) for mask in corpus.masks}
    rows = pq.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert [row["split"] for row in rows] == ["train", "validation"]
    for row in rows:
        for side, category in (("ds", "harmful"), ("dr", "benign")):
            mask, render = by_trace[row[f"{side}_trace_id"]]
            assert row["pair_id"] == mask["pair_id"]
            assert row[f"{side}_category"] == mask["category"] == category
            assert row[f"{side}_input_ids"] == render["input_ids"]
            for key in ("labels", "loss_mask"):
                assert row[f"{side}_{key}"] == mask[key]


def test_twins_with_second_masks(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    for trace, render, mask in zip(corpus.traces, corpus.renders, corpus.masks, strict=True):
        mask["pooling_mask"] = make_mask(trace, render, "tool_calls_only")["loss_mask"]
        mask["pooling_policy_id"] = "tool_calls_only"
    corpus.write(tmp_path)
    export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs.parquet", 1)
    by_trace = {mask["trace_id"]: mask for mask in corpus.masks}
    for row in pq.read_table(tmp_path / "pairs.parquet").to_pylist():
        for side in ("ds", "dr"):
            mask = by_trace[row[f"{side}_trace_id"]]
            for key in ("pair_id", "pooling_mask", "pooling_policy_id", "policy_id"):
                assert row[key if key == "pair_id" else f"{side}_{key}"] == mask[key]
    del corpus.masks[0]["pooling_mask"]
    corpus.write(tmp_path)
    with pytest.raises(ExportError, match="expected a pooling_mask in every row"):
        export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs.parquet")


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
        export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs.parquet")
    assert not (tmp_path / "pairs.parquet").exists()


def test_twins_in_two_splits_are_refused(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    corpus.masks[1]["split"] = "validation"
    corpus.write(tmp_path)
    with pytest.raises(ExportError, match="expected twins in one split"):
        export_pairs([corpus.mask_file], [corpus.render_file], tmp_path / "pairs.parquet")


def test_prompt_and_output_of_every_kind_of_trace() -> None:
    plain = make_trace(
        [message("system", "s"), message("user", "ask"), message("assistant", "answer")]
    )
    assert prompt_output(plain) == {"prompt": "ask", "output": "answer"}
    hints = {"raw_assistant_content": '{"name": "search_web"}'}
    called = make_trace(
        [message("user", "ask"), message("assistant", "", call("search_web"))], signal_hints=hints
    )
    assert prompt_output(called) == {"prompt": "ask", "output": '{"name": "search_web"}'}
    lost = make_trace([message("user", "ask"), message("assistant", "", call("search_web"))])
    assert prompt_output(lost) == "call_text_not_kept"
    assert prompt_output(make_trace([message("user", "ask")], role="skeleton")) == "skeleton"
    assert (
        prompt_output(
            make_trace([message("user", "ask"), message("assistant", "a"), message("user", "b")])
        )
        == "not_single_turn"
    )


def test_prompt_output_files_are_json_arrays_by_category(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=0)
    for trace in corpus.traces:
        trace["signal_hints"]["raw_assistant_content"] = f"</script>\n{trace['id']}"
    corpus.write(tmp_path)
    counts = export_prompt_output(
        [corpus.trace_file, corpus.skeleton_file],
        tmp_path / "harmful.json",
        tmp_path / "benign.json",
    )
    assert counts == {"written": {"benign": 2, "harmful": 2}, "left_out": {"skeleton": 2}}
    harmful = orjson.loads((tmp_path / "harmful.json").read_bytes())
    traces = [trace for trace in corpus.traces if trace["labels"]["category"] == "harmful"]
    assert harmful == [
        {"prompt": trace["messages"][1]["content"], "output": f"</script>\n{trace['id']}"}
        for trace in traces
    ]


def test_no_pairs_give_empty_arrays(tmp_path: Path) -> None:
    corpus = Corpus(pairs=0, validation_pairs=0).write(tmp_path)
    export_prompt_output([corpus.trace_file], tmp_path / "harmful.json", tmp_path / "benign.json")
    assert orjson.loads((tmp_path / "harmful.json").read_bytes()) == []
