"""The numbers of the fill stage's figures, counted by hand."""

from __future__ import annotations

from collections import Counter

from cbdata.report import yields
from cbdata.report.collect import DataSetSummary
from tests.unit.report.stats_rows import stats


def test_yields_by_subtype_and_by_attempt() -> None:
    ds, dr = DataSetSummary("b4_ds"), DataSetSummary("b4_dr")
    ds.by_subtype, dr.by_subtype = Counter({"A": 3}), Counter({"A": 6, "B": 1})
    ds.by_attempt, dr.by_attempt = Counter({1: 2, 2: 1}), Counter({1: 7})
    by_subtype = yields.yield_by_subtype(Counter({"A": 6, "B": 4}), {"ds": ds, "dr": dr})
    assert by_subtype.table.rows == [
        ("A", "6", "3", "50.0%", "6", "100.0%"),
        ("B", "4", "0", "0.0%", "1", "25.0%"),
    ]
    by_attempt = yields.yield_by_attempt(10, {"ds": ds, "dr": dr}, attempts=3)
    assert by_attempt.table.rows == [
        ("1", "DS", "10", "2", "20.0%"),
        ("1", "DR", "10", "7", "70.0%"),
        ("2", "DS", "8", "1", "12.5%"),
        ("2", "DR", "3", "0", "0.0%"),
        ("3", "DS", "7", "0", "0.0%"),
        ("3", "DR", "3", "0", "0.0%"),
    ]


def test_outcomes_of_every_completion_by_mode() -> None:
    told = {"followed_injection": 3, "refusal": 1}
    figure = yields.outcomes(
        [
            stats("fill", "b4_ds", 4, 3, {"refusal": 1}, completions=told),
            stats("fill", "b4_dr", 4, 4, completions={"expected_tool": 4}),
        ]
    )
    assert figure is not None and figure.table.rows == [
        ("expected_tool", "b4_ds", "0", "0.0%"),
        ("expected_tool", "b4_dr", "4", "100.0%"),
        ("followed_injection", "b4_ds", "3", "75.0%"),
        ("followed_injection", "b4_dr", "0", "0.0%"),
        ("refusal", "b4_ds", "1", "25.0%"),
        ("refusal", "b4_dr", "0", "0.0%"),
    ]
    assert yields.outcomes([]) is None
