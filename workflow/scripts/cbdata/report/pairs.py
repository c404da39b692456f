"""Figures of DS/DR pairs: how many skeletons have both completions, and how much of their renders
twins share.

Pairs are counted exactly, in a table on disk. Shared prefixes need the token ids of both twins, so
they are read for a sample of pairs.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from cbdata.disk_table import DiskTable
from cbdata.export.pairs import shared_prefix
from cbdata.lookup import Place, RecordFiles
from cbdata.report.chart import Figure, Table, percent, plain
from cbdata.traces.turns import completion_start

Side = Literal["ds", "dr"]
SIDES: tuple[Side, ...] = ("ds", "dr")
SAMPLE = 1_000

SHARED_BINS = ("the whole prompt", "90% or more", "50 to 90%", "10 to 50%", "less than 10%")
"""Shares of the longer prompt of a pair with which both renders begin."""


def _rank(pair_id: str) -> int:
    return int.from_bytes(hashlib.sha256(pair_id.encode()).digest()[:8], "little")


class PairTally:
    """The completions of a run by side, and where a sample of pairs stands.

    One tally counts all data sets, since twins lie in two of them. The sample holds the pairs of
    the lowest hashes, so both twins of a pair are in it or neither is, in whatever order they come.
    """

    def __init__(self, sample: int = SAMPLE) -> None:
        self._known = DiskTable(("completions",))
        self._counts: Counter[str] = Counter()
        self._sample = sample
        self._places: dict[int, dict[Side, Place]] = {}
        self._highest: list[int] = []

    def add(self, pair_id: str, category: str, render: Place) -> None:
        """Count a completion.

        Args:
            pair_id: Its skeleton.
            category: ``harmful`` or ``benign``.
            render: Where its render stands.
        """
        side: Side = "ds" if category == "harmful" else "dr"
        known = self._known.get(pair_id)
        if known is None:
            self._known.add(pair_id, side)
            self._counts[side] += 1
        elif known[0] not in (side, "pairs"):
            self._known.set(pair_id, "pairs")
            self._counts["pairs"] += 1
            self._counts[known[0]] -= 1
        rank = _rank(pair_id)
        if rank not in self._places:
            if len(self._places) >= self._sample:
                if rank >= -self._highest[0]:
                    return
                del self._places[-heapq.heappop(self._highest)]
            heapq.heappush(self._highest, -rank)
            self._places[rank] = {}
        self._places[rank].setdefault(side, render)

    def counts(self) -> dict[str, int]:
        """How many skeletons have both completions (``pairs``), only a ``ds`` and only a ``dr``."""
        return {name: self._counts[name] for name in ("pairs", *SIDES)}

    def sampled(self) -> list[tuple[Place, Place]]:
        """The places of both renders of the pairs of the sample, in the order of the files."""
        pairs = [places for places in self._places.values() if len(places) == len(SIDES)]
        both = [(places["ds"], places["dr"]) for places in pairs]
        return sorted(both, key=lambda pair: (str(pair[0].path), pair[0].line))


def _shared(sample: Sequence[tuple[Place, Place]]) -> Iterator[tuple[int, int]]:
    """For each pair the tokens that both renders begin with, and those of the longer prompt."""
    with RecordFiles() as files:
        for places in sample:
            ds, dr = (files.read(place) for place in places)
            ids = [np.array(render["input_ids"], dtype=np.int32) for render in (ds, dr)]
            prompts = [
                len(render["input_ids"]) if start is None else start
                for render in (ds, dr)
                for start in [completion_start(render)]
            ]
            yield shared_prefix(*ids), max(prompts)


def shared_bin(shared: int, prompt: int) -> str:
    """The bin of SHARED_BINS that a pair belongs to.

    Args:
        shared: Tokens that both renders begin with.
        prompt: Tokens of the longer prompt.
    """
    part = shared / prompt if prompt else 1.0
    limits = (1.0, 0.9, 0.5, 0.1, 0.0)
    return next(name for name, limit in zip(SHARED_BINS, limits, strict=True) if part >= limit)


def pair_figures(tally: PairTally) -> list[Figure]:
    """Show pairs and shared prefixes; no figure where nothing was completed."""
    counts = tally.counts()
    total = sum(counts.values())
    if not total:
        return []
    names: Mapping[str, tuple[str, Any]] = {
        "pairs": ("DS and DR: a pair", "neutral"),
        "ds": ("only a DS", "ds"),
        "dr": ("only a DR", "dr"),
    }
    figures = [
        Figure(
            "pairs",
            "Pairs of completions",
            "Skeletons of which a completion is rendered; the export of pairs holds those with"
            " both.",
            Table(
                ("completions", "skeletons", "share"),
                [
                    (names[kind][0], f"{count:,}", percent(count, total))
                    for kind, count in counts.items()
                ],
                drawn=[plain(names[kind][1], count, total) for kind, count in counts.items()],
                drawn_head="% of completed skeletons",
            ),
        )
    ]
    found = list(_shared(tally.sampled()))
    if found:
        figures.append(_prefixes(found, counts["pairs"]))
    return figures


def _prefixes(found: Sequence[tuple[int, int]], pairs: int) -> Figure:
    bins = Counter(shared_bin(shared, prompt) for shared, prompt in found)
    tokens = sorted(shared for shared, _ in found)
    sample = (
        f"A sample of {len(found):,} of {pairs:,} pairs, chosen by hash."
        if len(found) < pairs
        else f"All {pairs:,} pairs."
    )
    return Figure(
        "shared-prefixes",
        "Shared prefixes of pairs",
        f"{sample} Shared prefixes have {tokens[0]:,} to {tokens[-1]:,} tokens, half of them at"
        f" most {tokens[(len(tokens) - 1) // 2]:,}. Where the prompt of the DR is without the"
        " injection, twins part at the injection; else they share the whole prompt.",
        Table(
            ("shared part of the longer prompt", "pairs", "share"),
            [(name, f"{bins[name]:,}", percent(bins[name], len(found))) for name in SHARED_BINS],
            drawn=[plain("neutral", bins[name], len(found)) for name in SHARED_BINS],
            drawn_head="% of these pairs",
        ),
    )
