"""The figures' numbers, counted by hand on small files."""

from __future__ import annotations

from pathlib import Path

from cbdata.lossmask.registry import load_registry
from cbdata.report import figures
from cbdata.report.collect import DataSetSummary, collect
from tests.records import Corpus, make_mask, write_jsonl


def collected(corpus: Corpus, folder: Path) -> DataSetSummary:
    corpus.write(folder)
    return collect(corpus.dataset(), load_registry())


def test_lengths_count_what_the_cut_takes() -> None:
    summary = DataSetSummary("demo", truncated=1, max_lengths={100})
    summary.lengths.update([10, 64, 100, 300])
    figure = figures.lengths(summary)
    assert figure is not None
    # Each bin takes in its upper end; max_length is one, so no bin has two colours.
    assert figure.table.rows == [
        ("0 to 64", "2", "50.0%"),
        ("65 to 91", "0", "0.0%"),
        ("92 to 100", "1", "25.0%"),
        ("101 to 128", "0", "0.0%"),
        ("129 to 181", "0", "0.0%"),
        ("182 to 256", "0", "0.0%"),
        ("257 to 362", "1", "25.0%"),
    ]
    colours = [bar.segments[0].colour for bar in figure.table.drawn]
    assert colours == ["neutral"] * 3 + ["cut"] * 4
    assert "half of them at most 64, 90% at most 300, 99% at most 300" in figure.note
    assert "1 of 4 are longer than max_length, 1 are cut, and 200 of 474 tokens (42.2%)" in (
        figure.note
    )
    assert figures.lengths(DataSetSummary("none")) is None


def test_a_million_renders_are_counted_by_length() -> None:
    summary = DataSetSummary("demo", max_lengths={4096})
    summary.lengths.update({70: 989_999, 80: 10_000, 4096: 1})
    figure = figures.lengths(summary)
    assert figure is not None and [row[1] for row in figure.table.rows if row[1] != "0"] == [
        "999,999",
        "1",
    ]
    assert "half of them at most 70, 90% at most 70, 99% at most 80" in figure.note
    assert f"0 of {70 * 989_999 + 80 * 10_000 + 4096:,} tokens" in figure.note


def test_bins_of_lengths_begin_with_the_first_that_holds_any() -> None:
    summary = DataSetSummary("demo", max_lengths={4096})
    summary.lengths.update([200, 250])
    figure = figures.lengths(summary)
    assert figure is not None and figure.table.rows == [("182 to 256", "2", "100.0%")]
    assert figure.legend == ()
    assert figures.length_bins(300, 4096) == [64, 91, 128, 181, 256, 362]
    assert figures.length_bins(64, 4096) == [64]


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
        == rows["tool_calls_only"]
        == ("6", f"{trained:,}", f"{tokens:,}")
    )
    assert rows["full_sequence"] == ("6", f"{tokens:,}", f"{tokens:,}")
    assert rows["lossmasks (assistant_only)"] == rows["assistant_only"]


def test_provenance(tmp_path: Path) -> None:
    made = figures.provenance([collected(Corpus(pairs=1), tmp_path)]).table.rows
    assert [row[:2] for row in made] == [("chat template", "toy"), ("tokenizer", "toy")]
