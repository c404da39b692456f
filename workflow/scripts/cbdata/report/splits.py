"""Figures of the splits: what each holds, and what stands in more than one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from cbdata.disk_table import DiskTable
from cbdata.report.chart import Figure, Table, percent, plain
from cbdata.report.roles import SHORT_NAMES, TRACE_ROLES, role_bar, role_legend, role_of
from cbdata.report.tally import Tally
from cbdata.traces.compared import compared

KINDS = ("user task", "named user task", "injection", "skeleton")
MAX_SPLITS = 255


class _Keys:
    """Keys with the split of the first trace that has them, in a table on disk."""

    def __init__(self) -> None:
        self._first = DiskTable(("split", "torn"))
        self._torn = 0

    def add(self, text: str, split: str) -> None:
        """Take in a key of a trace."""
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if self._first.add(key, split, False):
            return
        found = self._first.get(key)
        if found is not None and not found[1] and found[0] != split:
            self._first.set(key, found[0], True)
            self._torn += 1

    def torn(self) -> tuple[int, int]:
        """How many keys there are, and how many of them stand in more than one split."""
        return len(self._first), self._torn


class SplitTally:
    """The traces of a run by split and role, and in which splits user tasks, injections and
    skeletons stand.

    One tally counts all data sets, since what is torn may lie in two of them. Texts are compared
    as ``cbdata.validation.leakage`` compares them.
    """

    def __init__(self) -> None:
        self.traces = Tally(MAX_SPLITS)
        self._keys = {kind: _Keys() for kind in KINDS}

    def add(self, trace: Mapping[str, Any]) -> None:
        """Count a trace."""
        split = trace["split"]
        self.traces.add((split,), role_of(trace))
        for kind, key in zip(KINDS, compared(trace), strict=False):
            if key is not None:
                self._keys[kind].add(key, split)
        for parent in (trace["links"].get("parent_trace_ids") or ())[:1]:
            self._keys["skeleton"].add(parent, split)

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
