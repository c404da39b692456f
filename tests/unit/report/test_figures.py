"""The figures' numbers, counted by hand on small files."""

from __future__ import annotations

from pathlib import Path

from cbdata.lossmask.registry import load_registry
from cbdata.report import figures
from cbdata.report.collect import DataSetSummary, collect
from tests.records import Corpus, make_mask, write_jsonl
from tests.unit.report.stats_rows import stats


def collected(corpus: Corpus, folder: Path) -> DataSetSummary:
    corpus.write(folder)
    return collect(corpus.dataset(), load_registry())


def test_funnel_of_filled_and_loaded_sources() -> None:
    rows = [
        stats("etl_a", "b4_skeletons", 100, 90, {"bad": 10}),
        stats("etl_a", "dojo", 50, 49, {"bad": 1}),
        stats("fill", "b4_ds", 90, 30, {"no_call": 50}),
        stats("fill", "b4_dr", 90, 60, {"no_call": 20}),
        stats("render", "b4_ds", 30, 29, {"x": 1}),
        stats("lossmask", "b4_ds", 29, 28, {"empty_mask": 1}),
        stats("render", "dojo", 49, 49),
    ]
    steps = figures.funnel_steps(
        rows, [DataSetSummary("b4_ds"), DataSetSummary("b4_dr"), DataSetSummary("dojo")]
    )
    assert [(step.source, step.step, step.count, step.of) for step in steps] == [
        ("b4", "raw records", 100, 100),
        ("b4", "traces", 90, 100),
        ("b4", "DS completions wanted", 80, 100),
        ("b4", "DS completions accepted", 30, 100),
        ("b4", "DS rendered", 29, 100),
        ("b4", "DS masked", 28, 100),
        ("b4", "DR completions wanted", 80, 100),
        ("b4", "DR completions accepted", 60, 100),
        ("dojo", "raw records", 50, 50),
        ("dojo", "traces", 49, 50),
        ("dojo", "rendered", 49, 50),
    ]
    assert [
        figure.key for figure in figures.funnel(rows, [*map(DataSetSummary, ("b4_ds", "dojo"))])
    ] == [
        "funnel-b4",
        "funnel-dojo",
    ]


def test_a_funnel_of_decision_points_starts_with_them() -> None:
    rows = [stats("cut", "dojo_skeletons", 9, 7, {"x": 2}), stats("fill", "dojo_ds", 7, 3)]
    steps = figures.funnel_steps(rows, [DataSetSummary("dojo_ds")])
    assert [(step.source, step.step, step.count, step.of) for step in steps[:2]] == [
        ("dojo", "decision points", 9, 9),
        ("dojo", "skeletons", 7, 9),
    ]


def test_a_file_of_ones_own_starts_with_its_traces() -> None:
    mine = DataSetSummary("mine", traces=7)
    assert [
        (step.step, step.count)
        for step in figures.funnel_steps([stats("render", "mine", 7, 7)], [mine])
    ] == [("traces", 7), ("rendered", 7)]


def test_rejects_are_sorted_and_take_in_what_was_not_selected() -> None:
    figure = figures.rejects([stats("fill", "b4_ds", 10, 3, {"no_call": 2, "truncated": 4})])
    assert [row[:4] for row in figure.table.rows] == [
        ("fill", "b4_ds", "truncated", "4"),
        ("fill", "b4_ds", "no_call", "2"),
        ("fill", "b4_ds", "(not selected)", "1"),
    ]


def test_lengths_count_what_the_cut_takes() -> None:
    summary = DataSetSummary("demo", truncated=1, max_lengths={100})
    summary.lengths.extend([10, 64, 100, 300])
    rows = dict(figures.lengths(summary).table.rows)
    assert rows["longest"] == "300" and rows["median"] == "100"
    assert (
        rows["longer than max_length"] == "1 of 4"
        and rows["tokens beyond max_length"] == "200 of 474 (42.2%)"
    )
    assert figures.length_edges(300) == [0, 64, 91, 128, 181, 256, 362]
    assert figures.lengths(DataSetSummary("none")) is None


def test_renders_on_policy_are_counted(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=0)
    for number, render in enumerate(corpus.renders):
        render["on_policy"] = number > 0
    del corpus.renders[1]["on_policy"]  # as renders were before there was the field
    summary = collected(corpus, tmp_path)
    figure = figures.on_policy([summary, DataSetSummary("none")])
    assert figure.table.rows == [("demo", "4", "2", "50.0%")]


def test_trained_share_of_files_and_policies(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2)
    sweep = [
        make_mask(trace, render, "tool_calls_only")
        for trace, render in zip(corpus.traces, corpus.renders, strict=True)
    ]
    write_jsonl(tmp_path / "lossmasks/by_policy/tool_calls_only/demo.jsonl", sweep)
    summary = collected(corpus, tmp_path)
    rows = {row[0]: row[2:5] for row in figures.shares([summary]).table.rows}
    tokens = sum(len(render["input_ids"]) for render in corpus.renders)
    trained = sum(mask["stats"]["unmasked_tokens"] for mask in sweep)
    assert (
        rows["by_policy/tool_calls_only"]
        == rows["policy tool_calls_only"]
        == ("6", f"{trained:,}", f"{tokens:,}")
    )
    assert rows["policy full_sequence"] == ("6", f"{tokens:,}", f"{tokens:,}")
    assert rows["lossmasks (assistant_only)"] == rows["policy assistant_only"]


def test_class_weights_and_provenance(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    corpus.masks[0] |= {"class_weight": 2.0, "sample_weight": 2.0}
    summary = collected(corpus, tmp_path)
    classes = {
        "demo/ds": {"rows": 1, "weight_before": 1.0, "weight_after": 2.0},
        "demo/dr": {"rows": 1, "weight_before": 1.0, "weight_after": 1.0},
    }
    figure = figures.class_weights([stats("lossmask", "demo", 2, 2, classes=classes)], [summary])
    assert figure.table.rows == [
        ("demo/dr", "1", "1", "50.0%", "33.3%"),
        ("demo/ds", "1", "2", "50.0%", "66.7%"),
    ]
    made = figures.provenance([summary]).table.rows
    assert [row[:2] for row in made] == [("chat template", "toy"), ("tokenizer", "toy")]
