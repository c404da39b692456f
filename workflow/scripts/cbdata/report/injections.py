"""Figures of the injections in renders: how long they are, and where they first stand."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cbdata.report.chart import Figure, Table, percent
from cbdata.report.roles import TRACE_ROLES, TraceRole, role_bar, role_legend

LENGTH_EDGES = (0, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Bins of lengths in tokens, each from above one edge to the next; the last has no end."""

TENTHS = 10


@dataclass
class InjectionTally:
    """The injections of the renders of one data set, by role of the trace.

    - ``lengths``: places by the bin of their length
    - ``positions``: renders by the tenth of the render in which their first place begins
    - ``turns``: places by the role of the message that they stand in
    - ``places``, ``renders``: how many of each there are; ``tokens``: those of all places
    - ``lost``: renders in which no place is left although the model read one
    """

    lengths: Counter[tuple[int, TraceRole]] = field(default_factory=Counter)
    positions: Counter[tuple[int, TraceRole]] = field(default_factory=Counter)
    turns: Counter[tuple[str, TraceRole]] = field(default_factory=Counter)
    places: int = 0
    tokens: int = 0
    renders: int = 0
    lost: int = 0

    def add(self, render: Mapping[str, Any], role: TraceRole, exposed: bool) -> None:
        """Count the injections of one render.

        Args:
            render: A render_v1 record.
            role: The role of its trace.
            exposed: Whether the model read the injection, by the trace's labels.
        """
        spans = render["signals"]["injection_spans"]
        if not spans:
            self.lost += exposed and role in ("ds", "dr")
            return
        self.renders += 1
        first = min(span["token_start"] for span in spans)
        tenth = min(TENTHS * first // max(render["sequence_length"], 1), TENTHS - 1)
        self.positions[tenth, role] += 1
        turns = {
            span["message_index"]: span["role"] for span in render["alignment"]["message_spans"]
        }
        for span in spans:
            length = span["token_end"] - span["token_start"]
            self.places += 1
            self.tokens += length
            self.lengths[_bin(length), role] += 1
            self.turns[turns.get(span["message_index"], "(cut)"), role] += 1

    def merge(self, other: InjectionTally) -> None:
        """Take in the counts of another data set."""
        self.lengths.update(other.lengths)
        self.positions.update(other.positions)
        self.turns.update(other.turns)
        self.places += other.places
        self.tokens += other.tokens
        self.renders += other.renders
        self.lost += other.lost


def _bin(length: int) -> int:
    return min(max(bisect_left(LENGTH_EDGES, length) - 1, 0), len(LENGTH_EDGES) - 1)


def _bin_name(index: int) -> str:
    if index + 1 == len(LENGTH_EDGES):
        return f"over {LENGTH_EDGES[-1]:,}"
    return f"{LENGTH_EDGES[index] + 1:,} to {LENGTH_EDGES[index + 1]:,}"


def injection_figures(tallies: Sequence[InjectionTally]) -> list[Figure]:
    """Show length and place of the injections; no figure without any.

    Args:
        tallies: The counts of every data set.
    """
    total = InjectionTally()
    for tally in tallies:
        total.merge(tally)
    if not total.renders:
        return []
    lost = (
        f" Renders without the injection that the model read: {total.lost:,}; it stands behind the"
        " cut at max_length, or its place is not known."
        if total.lost
        else ""
    )
    bins = [index for index, _ in total.lengths]
    lengths = _histogram(
        "injection-lengths",
        "Length of injections",
        f"{total.places:,} places in {total.renders:,} renders, {total.tokens:,} tokens in all; an"
        f" injection that stands in a trace twice counts twice.{lost}",
        ("tokens", "places", "share"),
        [(_bin_name(index), _roles(total.lengths, index)) for index in _between(bins)],
    )
    positions = _histogram(
        "injection-positions",
        "Where the injection first stands",
        "The first token of the first injection, in tenths of the render from its beginning.",
        ("part of the render", "renders", "share"),
        [
            (f"{10 * tenth} to {10 * tenth + 10}%", _roles(total.positions, tenth))
            for tenth in range(TENTHS)
        ],
    )
    turns = sorted({turn for turn, _ in total.turns})
    places = _histogram(
        "injection-turns",
        "Turns that hold the injection",
        "Every place counts.",
        ("turn", "places", "share"),
        [(turn, _roles(total.turns, turn)) for turn in turns],
    )
    return [lengths, positions, places]


def _between(bins: Sequence[int]) -> range:
    """All bins from the first to the last that has anything."""
    return range(min(bins), max(bins) + 1)


def _roles(counts: Mapping[tuple[Any, TraceRole], int], key: Any) -> Counter[str]:
    return Counter({role: counts[key, role] for role in TRACE_ROLES if (key, role) in counts})


def _histogram(
    key: str,
    title: str,
    note: str,
    head: Sequence[str],
    bins: Sequence[tuple[str, Counter[str]]],
) -> Figure:
    full = max(roles.total() for _, roles in bins)
    whole = sum(roles.total() for _, roles in bins)
    return Figure(
        key,
        title,
        note,
        Table(
            head,
            [(name, f"{roles.total():,}", percent(roles.total(), whole)) for name, roles in bins],
            drawn=[role_bar(roles, full) for _, roles in bins],
            drawn_head=head[1],
        ),
        role_legend(roles for _, roles in bins),
    )
