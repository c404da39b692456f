"""Bar charts and histograms as inline SVG, with titles, axes and units. The page's style sheet
colours them for light and dark.

Built as XML elements, so labels of any content are escaped. Lengths are in pixels of the view box.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from cbdata.report.text import visible

WIDTH = 760
LABEL_WIDTH = 250
VALUE_WIDTH = 112
BAR, GAP, GROUP_GAP = 16, 3, 11
TOP, AXIS = 40, 44
LABEL_CHARS = 38
PLOT_HEIGHT = 200
STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Bar:
    """One bar.

    ``value`` is its length, ``text`` stands beside it, and ``series``, counted from 0, decides its
    colour.
    """

    value: float
    text: str
    series: int = 0


def nice_ceiling(value: float) -> float:
    """Return the smallest round number (one of STEPS times a power of ten) that is at least
    ``value``; 1 if that is not above 0.
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in STEPS if step * power >= value * (1 - 1e-12))


def ticks(maximum: float, count: int = 5) -> list[float]:
    """Return about ``count`` round positions from 0 to at most ``maximum``."""
    rough = maximum / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * (1 - 1e-12))
    return [step * number for number in range(int(maximum / step + 1e-9) + 1)]


def short(value: float) -> str:
    """Write a number as an axis shows it, with k, M or G for its thousands."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _svg(height: float, title: str) -> ET.Element:
    root = ET.Element(
        "svg",
        {
            "viewBox": f"0 0 {WIDTH} {height:g}",
            "role": "img",
            "class": "chart",
            "aria-label": visible(title),
        },
    )
    _text(root, 0, 16, title, "chart-title")
    return root


def _text(
    parent: ET.Element, x: float, y: float, text: str, style: str, anchor: str = "start"
) -> ET.Element:
    element = ET.SubElement(
        parent, "text", {"x": f"{x:g}", "y": f"{y:g}", "class": style, "text-anchor": anchor}
    )
    element.text = visible(text)
    return element


def _line(parent: ET.Element, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
    ET.SubElement(
        parent,
        "line",
        {"x1": f"{x1:g}", "y1": f"{y1:g}", "x2": f"{x2:g}", "y2": f"{y2:g}", "class": style},
    )


def _rect(
    parent: ET.Element, x: float, y: float, width: float, height: float, style: str, tip: str
) -> None:
    rect = ET.SubElement(
        parent,
        "rect",
        {
            "x": f"{x:g}",
            "y": f"{y:g}",
            "width": f"{max(width, 0):g}",
            "height": f"{height:g}",
            "rx": "2",
            "class": style,
        },
    )
    ET.SubElement(rect, "title").text = visible(tip)


def _legend(parent: ET.Element, names: Sequence[str]) -> None:
    x = 0.0
    for series, name in enumerate(names):
        _rect(parent, x, 25, 10, 10, f"series-{series}", name)
        _text(parent, x + 15, 34, name, "key")
        x += 15 + 7.2 * len(name) + 18


def _clip(label: str) -> str:
    label = visible(label)
    return label if len(label) <= LABEL_CHARS else label[: LABEL_CHARS - 1] + "…"


def bar_chart(
    title: str,
    axis: str,
    groups: Sequence[tuple[str, Sequence[Bar]]],
    series: Sequence[str] = (),
    maximum: float | None = None,
) -> str:
    """Draw horizontal bars in labelled groups.

    Args:
        title: Stands above the chart.
        axis: What the lengths are, with the unit.
        groups: Label and bars of each group, from the top.
        series: The legend: a name for each series number of the bars. Empty: no legend.
        maximum: Where the axis ends; None: at a round number above the longest bar.

    Returns:
        The SVG element as markup, every text in it escaped.
    """
    top = TOP if series else TOP - 14
    heights = [len(bars) * (BAR + GAP) for _, bars in groups]
    bottom = top + sum(heights) + GROUP_GAP * len(groups)
    root = _svg(bottom + AXIS, title)
    if series:
        _legend(root, series)
    longest = max((bar.value for _, bars in groups for bar in bars), default=0)
    full = maximum or nice_ceiling(longest)
    scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / full
    for tick in ticks(full):
        x = LABEL_WIDTH + tick * scale
        _line(root, x, top, x, bottom, "grid")
        _text(root, x, bottom + 15, short(tick), "tick", "middle")
    _line(root, LABEL_WIDTH, top, LABEL_WIDTH, bottom, "axis")
    _text(root, LABEL_WIDTH + full * scale / 2, bottom + 34, axis, "axis-title", "middle")
    y = top + GROUP_GAP / 2
    for (label, bars), height in zip(groups, heights, strict=True):
        name = _text(root, LABEL_WIDTH - 8, y + height / 2 + 3, _clip(label), "label", "end")
        ET.SubElement(name, "title").text = visible(label)
        for bar in bars:
            _rect(
                root,
                LABEL_WIDTH,
                y,
                bar.value * scale,
                BAR,
                f"series-{bar.series}",
                f"{label}: {bar.text}",
            )
            _text(root, LABEL_WIDTH + bar.value * scale + 6, y + BAR - 4, bar.text, "value")
            y += BAR + GAP
        y += GROUP_GAP
    return ET.tostring(root, encoding="unicode")


def histogram(
    title: str,
    axis: str,
    edges: Sequence[float],
    stacks: Sequence[tuple[str, Sequence[int]]],
    marker: tuple[float, str] | None = None,
    label: Callable[[float], str] = short,
) -> str:
    """Draw counts per bin as stacked columns; all bins are drawn equally wide.

    Args:
        title: Stands above the chart.
        axis: What is counted by, with the unit.
        edges: Borders of the bins, ascending; bin i is half-open, ``[edges[i], edges[i + 1])``.
        stacks: Name and counts per bin of each series, from the bottom.
        marker: Value and label of a dashed line.
        label: Writes an edge on the axis.

    Returns:
        The SVG element as markup, every text in it escaped.
    """
    left, right, top = 58, WIDTH - 12, TOP + 26
    bottom = top + PLOT_HEIGHT
    root = _svg(bottom + AXIS + 4, title)
    _legend(root, [name for name, _ in stacks])
    bins = len(edges) - 1
    totals = [sum(counts[index] for _, counts in stacks) for index in range(bins)]
    full = nice_ceiling(max(totals, default=0))
    for tick in ticks(full, 4):
        y = bottom - tick / full * PLOT_HEIGHT
        _line(root, left, y, right, y, "grid")
        _text(root, left - 6, y + 4, short(tick), "tick", "end")
    width = (right - left) / bins
    for index in range(bins):
        y = float(bottom)
        for series, (name, counts) in enumerate(stacks):
            height = counts[index] / full * PLOT_HEIGHT
            y -= height
            if height:
                _rect(
                    root,
                    left + index * width + 1,
                    y,
                    width - 2,
                    height,
                    f"series-{series}",
                    f"{label(edges[index])} to {label(edges[index + 1])}: {counts[index]:,} {name}",
                )
    step = max(1, math.ceil(bins / 12))
    for index in range(0, bins + 1, step):
        _text(root, left + index * width, bottom + 15, label(edges[index]), "tick", "middle")
    _line(root, left, bottom, right, bottom, "axis")
    _text(root, (left + right) / 2, bottom + 36, axis, "axis-title", "middle")
    _text(root, left - 6, top - 6, "traces", "axis-title", "end")
    if marker is not None:
        _marker(root, edges, marker, left, width, top, bottom)
    return ET.tostring(root, encoding="unicode")


def _marker(
    root: ET.Element,
    edges: Sequence[float],
    marker: tuple[float, str],
    left: float,
    width: float,
    top: float,
    bottom: float,
) -> None:
    """A dashed line at a value; an arrow at the right where the value lies beyond the axis."""
    value, label = marker
    bins = len(edges) - 1
    if value > edges[-1]:
        _text(root, left + bins * width, top + 2, f"{label} →", "marker-label", "end")
        return
    position = _bin_position(edges, value)
    x = left + position * width
    _line(root, x, top - 6, x, bottom, "marker")
    near_end = position > bins * 0.7
    _text(
        root,
        x + (-5 if near_end else 5),
        top + 2,
        label,
        "marker-label",
        "end" if near_end else "start",
    )


def _bin_position(edges: Sequence[float], value: float) -> float:
    """Where a value stands on an axis of equally wide bins, in bins from the left."""
    for index in range(len(edges) - 1):
        if value <= edges[index + 1]:
            return index + max(0.0, value - edges[index]) / (edges[index + 1] - edges[index])
    return float(len(edges) - 1)
