"""The numbers of the fill stage's figures, counted by hand."""

from __future__ import annotations

from collections import Counter

from cbdata.report import yields
from cbdata.report.collect import DataSetSummary
from cbdata.report.yield_keys import YieldTally
from tests.unit.report.stats_rows import stats


def filled(name: str, subtypes: dict[str, int], attempts: dict[int, int]) -> DataSetSummary:
    summary = DataSetSummary(name, by_attempt=Counter(attempts))
    for subtype, count in subtypes.items():
        summary.yields.by["attack"].add((subtype,), "", count)
    return summary


def test_yields_by_subtype_and_by_attempt() -> None:
    ds = filled("b4_ds", {"A": 3}, {1: 2, 2: 1})
    dr = filled("b4_dr", {"A": 6, "B": 1}, {1: 7})
    dr.provenance[("model", "M (vllm 1)", "-")] = 7
    wanted = YieldTally()
    for subtype, count in (("A", 6), ("B", 4)):
        wanted.by["attack"].add((subtype,), "", count)
    by_subtype = yields.yields_by("attack", wanted, {"ds": ds, "dr": dr})
    assert by_subtype is not None and by_subtype.table.rows == [
        ("A", "DS", "6", "3", "50.0%"),
        ("A", "DR", "6", "6", "100.0%"),
        ("B", "DS", "4", "0", "0.0%"),
        ("B", "DR", "4", "1", "25.0%"),
    ]
    assert by_subtype.note.endswith("Written by M (vllm 1).")
    assert [bar.segments[0].colour for bar in by_subtype.table.drawn] == ["ds", "dr", "ds", "dr"]
    assert yields.yields_by("pipeline", wanted, {"ds": ds, "dr": dr}) is None
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
            stats("fill", "b4_dr", 4, 4, completions={"expected_tool": 4}),
            stats("fill", "b4_ds", 4, 3, {"refusal": 1}, completions=told),
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
