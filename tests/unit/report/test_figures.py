"""The figures' numbers, counted by hand on small files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cbdata.lossmask.registry import load_registry
from cbdata.report import figures, yields
from cbdata.report.collect import DataSetSummary, collect
from cbdata.report.inputs import DataSet, find_sweeps
from cbdata.report.timings import run_times, slurm_efficiency, throughput
from tests.records import Corpus, make_mask, write_jsonl


def stats(
    stage: str,
    name: str,
    records_in: int,
    records_out: int,
    rejected: dict[str, int] | None = None,
    **details: Any,
) -> dict[str, Any]:
    rejected = rejected or {}
    counts = {
        "records_in": records_in,
        "records_out": records_out,
        "rejected": sum(rejected.values()),
        "duplicates": 0,
        "not_selected": 0,
        "headers": 0,
    }
    counts["not_selected"] = records_in - records_out - counts["rejected"]
    return {
        "stage": stage,
        "name": name,
        "counts": counts,
        "rejected_by_reason": rejected,
        "details": details,
    }


def collected(corpus: Corpus, folder: Path) -> DataSetSummary:
    corpus.write(folder)
    return collect(
        DataSet(
            "demo",
            corpus.trace_file,
            corpus.render_file,
            corpus.mask_file,
            find_sweeps(corpus.mask_file),
        ),
        load_registry(),
    )


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


def test_run_times_and_slurm_efficiency(tmp_path: Path) -> None:
    table = tmp_path / "render_traces/demo.tsv"
    table.parent.mkdir()
    table.write_text("s\th:m:s\tmax_rss\tmean_load\tcpu_time\n75.5\t0:01:15\t120.0\t99.0\t74.0\n")
    (tmp_path / "render_traces/short.tsv").write_text(
        "s\th:m:s\tmax_rss\tmean_load\tcpu_time\n0.1\t0:00:00\t-\t0.0\tNA\n"
    )
    figure = run_times(sorted(tmp_path.rglob("*.tsv")))
    assert figure.table.rows == [
        ("render_traces demo", "1 min 16 s", "120.0", "74.0", "99.0"),
        ("render_traces short", "0.1 s", "-", "-", "0.0"),
    ]
    assert slurm_efficiency([]) is None
    report = tmp_path / "efficiency_report_1.csv"
    report.write_text(
        "JobID,JobName,Elapsed,NCPUS,CPU Efficiency (%),Other\n7.0,python,00:01:00,2,41.5,x\n"
    )
    figure = slurm_efficiency([report])
    assert figure is not None and figure.table.head == (
        "JobID",
        "JobName",
        "Elapsed",
        "NCPUS",
        "CPU Efficiency (%)",
    )
    assert figure.table.rows == [("7.0", "python", "00:01:00", "2", "41.5")]


def test_outcomes_and_throughput_of_the_fill_stage() -> None:
    speeds = {
        "prompt_tokens": 100,
        "completion_tokens": 40,
        "prompt_tokens_per_second": 12.4,
        "completion_tokens_per_second": 5.0,
        "load_seconds": 61,
    }
    told = {
        "completions": {"followed_injection": 3, "refusal": 1},
        "throughput": {"generated": 4, "reused": 2, **speeds},
    }
    rows = [
        stats("fill", "b4_ds", 4, 3, {"refusal": 1}, **told),
        stats("fill", "b4_dr", 4, 4, completions={"expected_tool": 4}),
    ]
    figure = yields.outcomes(rows)
    assert figure is not None and figure.table.rows == [
        ("expected_tool", "b4_ds", "0", "0.0%"),
        ("expected_tool", "b4_dr", "4", "100.0%"),
        ("followed_injection", "b4_ds", "3", "75.0%"),
        ("followed_injection", "b4_dr", "0", "0.0%"),
        ("refusal", "b4_ds", "1", "25.0%"),
        ("refusal", "b4_dr", "0", "0.0%"),
    ]
    made = throughput(rows)
    assert made is not None and made.table.rows == [
        ("b4_ds", "4", "2", "100", "40", "12", "5", "1 min 1 s")
    ]
    assert yields.outcomes([]) is None and throughput([]) is None
