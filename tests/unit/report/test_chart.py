"""What figures are made of: bars on their axis, curves, and tables that keep their groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.report.chart import (
    LABEL_CHARS,
    LEAST_SHARE,
    MAX_ROWS,
    Bar,
    Curve,
    Segment,
    Table,
    label,
    left_out,
    percent,
    plain,
    share,
    stacked,
)


def placed(bar: Bar) -> list[tuple[float, float, str]]:
    return [(start, width, segment.colour) for start, width, segment in bar.placed()]


def test_segments_stand_one_behind_the_other_in_per_cent_of_the_axis() -> None:
    bar = stacked([("ds", "a", 1), ("dr", "none", 0), ("retain", "b", 2)], 4)
    assert placed(bar) == [(0, 25, "ds"), (25, 50, "retain")]
    assert [segment.title for segment in bar.segments] == ["a: 1", "b: 2"]


def test_what_is_there_can_be_told_from_nothing() -> None:
    assert placed(plain("ds", 1, 1_000_000)) == [(0, 100 * LEAST_SHARE, "ds")]
    assert placed(plain("ds", 0, 1_000_000)) == [(0, 0, "ds")]
    assert placed(plain("ds", 0, 0)) == [(0, 0, "ds")]


@given(st.lists(st.floats(0, 1), max_size=5))
def test_no_segment_is_wider_than_the_axis(shares: list[float]) -> None:
    bar = Bar(tuple(Segment(part, "neutral") for part in shares))
    assert all(0 <= width <= 100 for _, width, _ in placed(bar))


def test_a_curve_goes_up_where_its_values_do() -> None:
    curve = Curve(((0, 0), (0.5, 1), (1, 0.25)), "ds")
    assert curve.line() == "0.00,100.00 50.00,0.00 100.00,75.00"


def test_equal_first_cells_in_a_row_stand_once() -> None:
    rows = [("a", 1), ("a", 2), ("b", 3), ("a", 4)]
    assert Table(("x", "y"), rows, grouped=True).spans() == [2, 0, 1, 1]
    assert Table(("x", "y"), rows).spans() == [1, 1, 1, 1]


def test_every_row_has_its_bar() -> None:
    bars = [plain("ds", 1, 2), plain("dr", 2, 2)]
    lines = Table(("x", "y"), [("a", 1), ("b", 2)], drawn=bars).lines()
    assert [(row[0], drawn) for _, row, drawn in lines] == [("a", bars[0]), ("b", bars[1])]
    with pytest.raises(ValueError, match="zip"):
        list(Table(("x", "y"), [("a", 1), ("b", 2)], drawn=bars[:1]).lines())


def test_shares() -> None:
    assert (percent(3, 47), percent(1, 0)) == ("6.4%", "-")
    assert (share(3, 4), share(5, 4), share(-1, 4), share(1, 0)) == (0.75, 1, 0, 0)


def test_labels_show_what_hides_in_them_and_end_somewhere() -> None:
    assert label("漢字 🙂 a\u202eb") == "漢字 🙂 a⟦U+202E⟧b"
    assert label("x" * (LABEL_CHARS + 1)) == "x" * (LABEL_CHARS - 1) + "…"


def test_rows_that_are_not_shown_are_told() -> None:
    assert left_out(range(MAX_ROWS)) == ""
    assert left_out(range(MAX_ROWS + 1_234)) == " 1,234 more are not shown."
