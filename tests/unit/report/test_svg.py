"""Charts: well-formed, titled, with axes and units, and safe whatever the labels say."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.report.svg import Bar, bar_chart, histogram, nice_ceiling, short, ticks

EVIL = '</text><script>alert(1)</script>" onload="x'


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter("text")]


def test_bars_have_lengths_in_proportion_title_axis_and_values() -> None:
    svg = bar_chart(
        "Title",
        "records",
        [("a", [Bar(50, "50 of 100")]), ("b", [Bar(25, "25", 1)])],
        ("one", "two"),
    )
    bars = [
        rect
        for rect in ET.fromstring(svg).iter("rect")
        if rect.get("class", "").startswith("series") and rect.get("height") == "16"
    ]
    assert float(bars[0].attrib["width"]) == pytest.approx(2 * float(bars[1].attrib["width"]))
    assert {"Title", "records", "one", "two", "a", "b", "50 of 100", "25"} <= set(texts(svg))


def test_labels_cannot_leave_their_element() -> None:
    svg = bar_chart(EVIL, EVIL, [(EVIL, [Bar(1, EVIL)])], (EVIL,))
    root = ET.fromstring(svg)
    assert {element.tag for element in root.iter()} == {"svg", "text", "line", "rect", "title"}
    assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)


def test_histogram_columns_stack_to_the_counts_and_the_marker_stands_at_its_value() -> None:
    svg = histogram(
        "Lengths",
        "tokens",
        [0, 10, 20, 40],
        [("short", [3, 1, 0]), ("long", [0, 1, 2])],
        (30, "cut 30"),
    )
    root = ET.fromstring(svg)
    columns = [rect for rect in root.iter("rect") if "to" in (rect.findtext("title") or "")]
    heights = {rect.findtext("title"): float(rect.attrib["height"]) for rect in columns}
    assert heights["0 to 10: 3 short"] == pytest.approx(3 * heights["10 to 20: 1 short"], rel=1e-4)
    assert heights["20 to 40: 2 long"] == pytest.approx(2 * heights["10 to 20: 1 long"], rel=1e-4)
    marker = next(line for line in root.iter("line") if line.get("class") == "marker")
    wide = next(rect for rect in columns if rect.findtext("title") == "20 to 40: 2 long")
    assert float(marker.attrib["x1"]) == pytest.approx(
        float(wide.attrib["x"]) - 1 + (float(wide.attrib["width"]) + 2) / 2
    )
    assert {"tokens", "traces", "cut 30", "Lengths"} <= set(texts(svg))


def test_a_marker_beyond_the_axis_is_an_arrow_and_no_line() -> None:
    svg = histogram("Lengths", "tokens", [0, 10, 20], [("short", [3, 1])], (30, "cut 30"))
    assert "cut 30 →" in texts(svg)
    assert not [line for line in ET.fromstring(svg).iter("line") if line.get("class") == "marker"]


def test_charts_of_nothing() -> None:
    ET.fromstring(bar_chart("t", "x", [("a", [Bar(0, "0")])]))
    ET.fromstring(histogram("t", "x", [0, 64], [("n", [0])]))


@given(st.floats(1e-6, 1e12))
def test_scales_cover_the_value_and_not_much_more(value: float) -> None:
    assert value <= nice_ceiling(value) * (1 + 1e-9) and nice_ceiling(value) <= value * 2.0000001
    positions = ticks(nice_ceiling(value))
    assert (
        positions[0] == 0
        and positions[-1] <= nice_ceiling(value) * (1 + 1e-6)
        and 2 <= len(positions) <= 12
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (950, "950"), (1500, "1.5k"), (2_000_000, "2M"), (13_246, "13.2k"), (0.25, "0.25")],
)
def test_axis_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text
