"""Figures of the splits: what each holds, and what stands in more than one."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cbdata.report.chart import Figure, Table, percent, plain
from cbdata.report.roles import SHORT_NAMES, TRACE_ROLES, role_bar, role_legend, role_of
from cbdata.report.tally import Tally
from cbdata.traces.compared import compared

KINDS = ("user task", "named user task", "injection", "skeleton")
MAX_SPLITS = 255


def _short(text: str) -> int:
    """The first 64 bits of a text's hash: two of a million texts agree in 1 of 37 million runs."""
    return int.from_bytes(
        hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little"
    )


@dataclass
class _Keys:
    """Keys with the split of each trace that has them: nine bytes a trace."""

    keys: array[int] = field(default_factory=lambda: array("Q"))
    splits: array[int] = field(default_factory=lambda: array("B"))

    def add(self, text: str, split: int) -> None:
        self.keys.append(_short(text))
        self.splits.append(split)

    def torn(self) -> tuple[int, int]:
        """How many keys there are, and how many of them stand in more than one split."""
        pairs = np.empty(len(self.keys), dtype=[("key", np.uint64), ("split", np.uint8)])
        pairs["key"], pairs["split"] = self.keys, self.splits
        distinct = np.unique(pairs)["key"]
        keys, counts = np.unique(distinct, return_counts=True)
        return len(keys), int((counts > 1).sum())


class SplitTally:
    """The traces of a run by split and role, and in which splits user tasks, injections and
    skeletons stand.

    One tally counts all data sets, since what is torn may lie in two of them. Texts are compared
    as ``cbdata.validation.leakage`` compares them.
    """

    def __init__(self) -> None:
        self.traces = Tally(MAX_SPLITS)
        self._numbers: dict[str, int] = {}
        self._keys = {kind: _Keys() for kind in KINDS}

    def add(self, trace: Mapping[str, Any]) -> None:
        """Count a trace."""
        split = trace["split"]
        self.traces.add((split,), role_of(trace))
        number = self._numbers.setdefault(split, min(len(self._numbers), MAX_SPLITS))
        for kind, key in zip(KINDS, compared(trace), strict=False):
            if key is not None:
                self._keys[kind].add(key, number)
        for parent in (trace["links"].get("parent_trace_ids") or ())[:1]:
            self._keys["skeleton"].add(parent, number)

    def torn(self) -> dict[str, tuple[int, int]]:
        """For each of KINDS of which there is any: how many, and how many in more than one
        split.
        """
        found = {kind: keys.torn() for kind, keys in self._keys.items()}
        return {kind: counts for kind, counts in found.items() if counts[0]}


def split_figures(tally: SplitTally) -> list[Figure]:
    """Show the splits and what leaks between them; no figure without traces."""
    if not tally.traces:
        return []
    listed = tally.traces.top()
    roles = [role for role in TRACE_ROLES if any(counts[role] for _, counts in listed)]
    whole = sum(counts.total() for _, counts in listed)
    full = max(counts.total() for _, counts in listed)
    splits = Figure(
        "splits",
        "Splits",
        "Traces of all data sets by split.",
        Table(
            ("split", "traces", "share", *(SHORT_NAMES[role] for role in roles)),
            [
                (
                    split,
                    f"{counts.total():,}",
                    percent(counts.total(), whole),
                    *(f"{counts[role]:,}" for role in roles),
                )
                for (split,), counts in listed
            ],
            drawn=[role_bar(counts, full) for _, counts in listed],
            drawn_head="traces",
        ),
        role_legend(counts for _, counts in listed),
    )
    return [splits, _leakage(tally.torn(), len(listed))]


def _leakage(torn: Mapping[str, tuple[int, int]], splits: int) -> Figure:
    rows: Sequence[Sequence[str]] = [
        (kind, f"{total:,}", f"{shared:,}", percent(shared, total))
        for kind, (total, shared) in torn.items()
    ]
    single = " There is one split, so nothing can." if splits == 1 else ""
    return Figure(
        "leakage",
        "What stands in more than one split",
        "Texts are compared without case, punctuation, spacing and Unicode form; paraphrases are"
        " found only of user tasks that have a name. split_by says which of these the splits were"
        f" to keep together; validate names each that they tear.{single}",
        Table(
            ("what", "different", "torn", "share"),
            rows,
            drawn=[plain("cut", shared, total) for total, shared in torn.values()],
            drawn_head="% that is torn",
        ),
    )
