"""Funnels and rejects, counted by hand."""

from __future__ import annotations

from cbdata.report.collect import DataSetSummary
from cbdata.report.funnel import funnel, funnel_steps, rejects
from tests.unit.report.stats_rows import stats


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
    steps = funnel_steps(
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
    assert [figure.key for figure in funnel(rows, [*map(DataSetSummary, ("b4_ds", "dojo"))])] == [
        "funnel-b4",
        "funnel-dojo",
    ]


def test_a_funnel_of_decision_points_starts_with_them() -> None:
    rows = [stats("cut", "dojo_skeletons", 9, 7, {"x": 2}), stats("fill", "dojo_ds", 7, 3)]
    steps = funnel_steps(rows, [DataSetSummary("dojo_ds")])
    assert [(step.source, step.step, step.count, step.of) for step in steps[:2]] == [
        ("dojo", "decision points", 9, 9),
        ("dojo", "skeletons", 7, 9),
    ]


def test_a_file_of_ones_own_starts_with_its_traces() -> None:
    mine = DataSetSummary("mine", traces=7)
    assert [
        (step.step, step.count) for step in funnel_steps([stats("render", "mine", 7, 7)], [mine])
    ] == [("traces", 7), ("rendered", 7)]


def test_rejects_are_sorted_and_take_in_what_was_not_selected() -> None:
    figure = rejects([stats("fill", "b4_ds", 10, 3, {"no_call": 2, "truncated": 4})])
    assert figure.table.rows == [
        ("truncated", "fill b4_ds", "4", "40.0%"),
        ("no_call", "fill b4_ds", "2", "20.0%"),
        ("(not selected)", "fill b4_ds", "1", "10.0%"),
    ]


def test_steps_of_a_mode_have_its_colour() -> None:
    rows = [
        stats("etl_a", "b4_skeletons", 10, 10),
        stats("fill", "b4_ds", 10, 5),
        stats("fill", "b4_dr", 10, 4),
    ]
    (figure,) = funnel(rows, [DataSetSummary("b4_ds"), DataSetSummary("b4_dr")])
    colours = [bar.segments[0].colour for bar in figure.table.drawn]
    assert colours == ["neutral", "neutral", "ds", "ds", "dr", "dr"]
    assert [colour for colour, _ in figure.legend] == ["ds", "dr"]


def test_reasons_without_end_are_cut_and_counted() -> None:
    reasons = {f"reason_{number:03}": 1 for number in range(100)}
    figure = rejects([stats("render", "x", 100, 0, reasons)])
    assert len(figure.table.rows) == len(figure.table.drawn) == 40
    assert figure.note.endswith(" 60 more are not shown.")
