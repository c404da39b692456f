"""Figures as tables of numbers with bars or curves beside them.

Only the bars are drawn, by ``assets/figure.html.jinja``: labels, numbers and headings are text of
the page, so that they wrap on a narrow window, keep their size and never lie over a bar.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from cbdata.report.text import visible

Colour = Literal["ds", "dr", "unseen", "retain", "neutral", "cut", "rest"]
"""What a colour says, the same in every figure; ``assets/page.css`` has the colours.

- ``ds``: the attack is followed; ``dr``: it was seen and is not followed
- ``unseen``: the attack never reached the model; ``retain``: there is none
- ``cut``: lost to ``max_length``; ``rest``: what a bar's other part is taken of
- ``neutral``: a number that belongs to none of these
"""

LEAST_SHARE = 0.004
"""The share of the axis at which anything above 0 is drawn, so that it does not look like 0."""

LABEL_CHARS = 160

MAX_ROWS = 40
"""The rows that a figure of jobs or of reasons shows; the others are counted in its note."""


@dataclass(frozen=True)
class Segment:
    """A part of a bar: its length as a share of the axis in [0, 1], and what it stands for."""

    share: float
    colour: Colour
    title: str = ""


@dataclass(frozen=True)
class Bar:
    """Segments one behind the other; ``mark`` is a position on the axis in [0, 1] to compare with,
    or None.
    """

    segments: tuple[Segment, ...] = ()
    mark: float | None = None

    def placed(self) -> Iterator[tuple[float, float, Segment]]:
        """Each segment with its start and its width in per cent of the axis."""
        start = 0.0
        for segment in self.segments:
            width = min(max(segment.share, LEAST_SHARE if segment.share > 0 else 0.0), 1.0)
            yield 100 * start, 100 * width, segment
            start += width


@dataclass(frozen=True)
class Curve:
    """A line through points ``(x, y)``, both as shares of their axes in [0, 1], y from the bottom;
    ``mark`` is a position on the x axis, or None.
    """

    points: tuple[tuple[float, float], ...]
    colour: Colour
    mark: float | None = None

    def line(self) -> str:
        """The points as SVG has them, in a square of 100 by 100 with y from the top."""
        return " ".join(f"{100 * x:.2f},{100 * (1 - y):.2f}" for x, y in self.points)


@dataclass(frozen=True)
class Table:
    """A table of values that are not escaped yet.

    - ``numeric_from``: the index of the first right-aligned column; those after it are, too
    - ``drawn``: one bar or curve a row, shown before the numeric columns under ``drawn_head``,
      which says what their lengths mean; or empty
    - ``grouped``: whether equal first cells of rows in a row stand there once
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    numeric_from: int = 1
    drawn: Sequence[Bar | Curve] = ()
    drawn_head: str = ""
    grouped: bool = False

    @property
    def density(self) -> str:
        """The classes that leave less of a row to bars where there is more beside them."""
        if any(isinstance(drawn, Curve) for drawn in self.drawn):
            return ""
        columns = len(self.head) - 1
        return " denser" if columns > 4 else " dense" if columns > 3 else ""

    def spans(self) -> list[int]:
        """For each row, how many rows its first cell stands for; 0 where an earlier one's does."""
        if not self.grouped:
            return [1] * len(self.rows)
        spans: list[int] = []
        for _, same in groupby(self.rows, key=lambda row: row[0]):
            length = len(list(same))
            spans += [length, *[0] * (length - 1)]
        return spans

    def lines(self) -> Iterator[tuple[int, Sequence[Any], Bar | Curve | None]]:
        """Each row with the rows that its first cell stands for, and what is drawn beside it."""
        drawn: Sequence[Bar | Curve | None] = self.drawn or [None] * len(self.rows)
        yield from zip(self.spans(), self.rows, drawn, strict=True)


@dataclass(frozen=True)
class Figure:
    """One figure of the page.

    - ``key``: its name
    - ``note``: says what is shown and what is not
    - ``legend``: colours with what they stand for here; ``mark`` says what the lines across bars
      or curves are
    """

    key: str
    title: str
    note: str
    table: Table
    legend: Sequence[tuple[Colour, str]] = ()
    mark: str = ""


def percent(part: float, whole: float) -> str:
    """Write a share as a percentage with one decimal; a dash if the whole is 0."""
    return f"{100 * part / whole:.1f}%" if whole else "-"


def share(part: float, whole: float) -> float:
    """A share as a number in [0, 1]; 0 if the whole is 0."""
    return min(max(part / whole, 0.0), 1.0) if whole else 0.0


def left_out(rows: Sequence[Any]) -> str:
    """A sentence about the rows that a figure does not show, which are those behind MAX_ROWS."""
    return f" {len(rows) - MAX_ROWS:,} more are not shown." if len(rows) > MAX_ROWS else ""


def stacked(parts: Sequence[tuple[Colour, str, float]], full: float) -> Bar:
    """A bar of several parts.

    Args:
        parts: Colour, name and amount of each part; parts of 0 are left out.
        full: The amount at which the axis ends.

    Returns:
        The bar, whose segments are titled with name and amount.
    """
    return Bar(
        tuple(
            Segment(share(amount, full), colour, f"{name}: {amount:,.6g}")
            for colour, name, amount in parts
            if amount
        )
    )


def plain(colour: Colour, amount: float, full: float) -> Bar:
    """A bar of one part.

    Args:
        colour: What it is about.
        amount: Its length.
        full: The amount at which the axis ends; at 0 the bar is empty.
    """
    return Bar((Segment(share(amount, full), colour),))


def label(value: Any) -> str:
    """A cell's text with every hidden character shown, cut after LABEL_CHARS characters."""
    text = str(value)
    return visible(text if len(text) <= LABEL_CHARS else text[: LABEL_CHARS - 1] + "…")
