"""The viewer's index and blocks say what the files say."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import orjson

from cbdata.lossmask.registry import load_registry
from cbdata.report.collect import collect
from cbdata.report.inputs import DataSet, ReportInputs
from cbdata.report.viewer_data import viewer_data
from tests.records import Corpus, make_mask, write_jsonl


def view(
    corpus: Corpus, rejects: tuple[Path, ...] = (), **budgets: int
) -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
    registry, dataset = load_registry(), corpus.dataset()
    index, blocks = viewer_data(
        ReportInputs((dataset,), rejects=rejects, tokenizer=corpus.tokenizer),
        [collect(dataset, registry)],
        registry,
        **budgets,
    )
    return index, [
        orjson.loads(zlib.decompress(base64.b64decode(block), -zlib.MAX_WBITS)) for block in blocks
    ]


def spread(length: int, runs: list[list[float]]) -> list[float]:
    weights = [0.0] * length
    for start, end, weight in runs:
        weights[int(start) : int(end)] = [weight] * int(end - start)
    return weights


def test_each_trace_has_its_tokens_spans_and_masks(tmp_path: Path) -> None:
    corpus = Corpus(pairs=3).write(tmp_path)
    sweep = [
        make_mask(trace, render, "tool_calls_only")
        for trace, render in zip(corpus.traces, corpus.renders, strict=True)
    ]
    write_jsonl(tmp_path / "lossmasks/by_policy/tool_calls_only/demo.jsonl", sweep)
    index, blocks = view(corpus)
    assert index["traces"]["id"] == [trace["id"] for trace in corpus.traces]
    for position, (trace, render, mask, other) in enumerate(
        zip(corpus.traces, corpus.renders, corpus.masks, sweep, strict=True)
    ):
        record = blocks[index["traces"]["block"][position]][index["traces"]["slot"][position]]
        length = len(render["input_ids"])
        assert record["ids"] == render["input_ids"]
        assert spread(length, record["masks"]["lossmasks"]["runs"]) == mask["loss_mask"]
        assert (
            spread(length, record["masks"]["by_policy/tool_calls_only"]["runs"])
            == other["loss_mask"]
        )
        assert (
            spread(length, record["masks"]["policy tool_calls_only"]["runs"]) == other["loss_mask"]
        )
        assert record["twin"] == trace["links"]["paired_trace_id"]
        assert (
            record["about"]["category"]
            == index["traces"]["category"][position]
            == trace["labels"]["category"]
        )
        assert (
            "".join(
                index["tokens"][str(token)]
                for token in record["ids"][slice(*record["turns"][0][3:5])]
            )
            == "You call tools .<|im_end|>"
        )
    assert index["special"] == [0, 1, 2, 3]
    labels = [mask["label"] for mask in index["datasets"][0]["masks"]]
    assert (
        labels[:2] == ["lossmasks", "by_policy/tool_calls_only"] and "policy custom" not in labels
    )


def test_second_masks_and_weights_are_shown(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    for trace, render, mask in zip(corpus.traces, corpus.renders, corpus.masks, strict=True):
        mask["pooling_mask"] = make_mask(trace, render, "tool_calls_only")["loss_mask"]
        mask["pooling_policy_id"] = "tool_calls_only"
    trace, render = corpus.traces[0], corpus.renders[0]
    trace["messages"][-1]["loss"] = 0.5
    turn = render["alignment"]["assistant_spans"][-1]
    render["alignment"]["thinking_spans"] = [turn | {"token_end": turn["token_start"] + 1}]
    corpus.masks[0]["thinking_weight"] = 0.5
    index, blocks = view(corpus.write(tmp_path))
    labels = {mask["label"]: mask["title"] for mask in index["datasets"][0]["masks"]}
    assert labels["lossmasks pooling"] == "lossmasks/demo, pooling (tool_calls_only)"
    masks = blocks[0][0]["masks"]
    length = len(render["input_ids"])
    assert set(masks) == set(labels)
    assert spread(length, masks["lossmasks pooling"]["runs"]) == corpus.masks[0]["pooling_mask"]
    # What the report applies itself is multiplied like the masks of the run.
    runs = masks["policy completion_only"]["runs"]
    start, end = turn["token_start"], turn["token_end"]
    assert runs == [[start, start + 1, 0.25], [start + 1, end, 0.5]]


def test_what_the_model_wrote_itself_is_marked(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=0)
    whole, cut, thinks, printed = corpus.renders
    for render in (whole, cut, thinks):
        render["on_policy"] = True
    printed["on_policy"] = False
    last = whole["alignment"]["assistant_spans"][-1]
    cut["alignment"]["assistant_spans"] = []  # cut right behind the prompt
    # Reasoning stands before the content.
    turn = thinks["alignment"]["assistant_spans"][-1]
    start = turn["token_start"]
    thinks["alignment"]["thinking_spans"] = [turn | {"token_end": start + 2}]
    turn["token_start"] += 2
    _, blocks = view(corpus.write(tmp_path))
    records = blocks[0]
    assert [record["written"] for record in records] == [
        [[last["token_start"], last["token_end"]]],
        [],
        [[start, turn["token_end"]]],
        [],
    ]
    said = [record["about"]["on policy"].split(":")[0] for record in records]
    assert said == ["yes", "yes", "yes", "no"]


def test_a_sample_says_how_many_there_are(tmp_path: Path) -> None:
    corpus = Corpus(pairs=30).write(tmp_path)
    index, _ = view(corpus, token_budget=300)
    shown = len(index["traces"]["id"])
    assert 0 < shown < 62 and index["datasets"][0]["total"] == 62
    assert sum(index["traces"]["tokens"]) <= 300


def test_rejects_and_their_sample(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1).write(tmp_path)
    rows = [
        {
            "stage": "fill",
            "file": "s.jsonl",
            "line": number + 1,
            "record_id": f"r{number}",
            "reason": "no_call",
            "detail": "d" * 50,
            "raw": {"n": number},
        }
        for number in range(40)
    ]
    path = write_jsonl(tmp_path / "rejects/fill/demo_ds.jsonl", rows)
    index, blocks = view(corpus, (path,))
    assert index["rejectTotal"] == 40 and index["rejects"]["record"] == [
        f"r{number}" for number in range(40)
    ]
    assert orjson.loads(
        blocks[index["rejects"]["block"][7]][index["rejects"]["slot"][7]]["raw"]
    ) == {"n": 7}
    sampled, _ = view(corpus, (path,), reject_budget=1000)
    assert 0 < len(sampled["rejects"]["record"]) < 40 and sampled["rejectTotal"] == 40


def test_without_a_tokenizer_ids_stay_ids(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1).write(tmp_path)
    dataset, registry = (
        DataSet("demo", corpus.trace_file, corpus.render_file, corpus.mask_file),
        load_registry(),
    )
    index, _ = viewer_data(ReportInputs((dataset,)), [collect(dataset, registry)], registry)
    assert set(map(str, index["tokens"].values())) == {"[]"}


def test_what_many_traces_have_is_held_once(tmp_path: Path) -> None:
    index, _ = view(Corpus(pairs=3).write(tmp_path))
    for name in ("category", "class", "outcome", "split", "suite", "model", "tools"):
        column = index["traces"][name]
        assert len({id(value) for value in column}) == len(set(column)) < len(column)
