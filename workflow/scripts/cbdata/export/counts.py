"""What the files of an export hold, counted row by row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cbdata.export.pair_table import SIDES, PairTable
from cbdata.export.rows import TrainingRow

QUANTILES = (0.5, 0.9, 0.99)
"""Shares of the rows for which the card says how long they are at most."""


@dataclass
class SplitCounts:
    """What one split holds. ``trained_tokens`` counts tokens with a loss weight above 0,
    ``lengths`` the rows of each length in tokens, ``pairs`` the skeletons of which both
    completions are there.
    """

    rows: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    zero_weight_rows: int = 0
    by_category: Counter[str] = field(default_factory=Counter)
    by_class: Counter[str] = field(default_factory=Counter)
    by_policy: Counter[str] = field(default_factory=Counter)
    by_pooling_policy: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    pairs: int = 0
    _sides: PairTable = field(default_factory=PairTable, repr=False)

    def add(self, row: TrainingRow) -> None:
        """Count one row."""
        self.rows += 1
        self.tokens += len(row.input_ids)
        self.trained_tokens += int((row.loss_mask > 0).sum())
        self.zero_weight_rows += row.sample_weight == 0
        self.by_category[row.category] += 1
        self.by_class[row.class_id] += 1
        self.by_policy[row.policy_id] += 1
        self.lengths[len(row.input_ids)] += 1
        if row.pooling_policy_id is not None:
            self.by_pooling_policy[row.pooling_policy_id] += 1

    def add_side(self, row: TrainingRow) -> None:
        """Note a row as one side of its pair; a row of an earlier turn is none."""
        if row.pair_id is not None and row.last_turn:
            new = self._sides.add(row.pair_id, row.category, None)
            other = SIDES[row.category == SIDES[0]]
            self.pairs += new and self._sides.has(row.pair_id, other)

    def as_dict(self) -> dict[str, Any]:
        """Plain values in a fixed order."""
        plain = {
            name: getattr(self, name)
            for name in ("rows", "tokens", "trained_tokens", "zero_weight_rows", "pairs")
        }
        counters = {
            name: dict(sorted(getattr(self, name).items()))
            for name in ("by_category", "by_class", "by_policy")
        }
        if self.by_pooling_policy:
            counters["by_pooling_policy"] = dict(sorted(self.by_pooling_policy.items()))
        return plain | {"lengths": length_quantiles(self.lengths)} | counters


def length_quantiles(lengths: Counter[int]) -> dict[str, int]:
    """How long rows are: for each of QUANTILES the shortest length that this share of the rows
    does not exceed, and the longest row.

    Args:
        lengths: The number of rows of each length in tokens.

    Returns:
        Tokens by ``p50``, ``p90``, ``p99`` and ``longest``; nothing without rows.
    """
    rows = lengths.total()
    found: dict[str, int] = {}
    if not rows:
        return found
    for share in QUANTILES:
        seen = 0
        for length in sorted(lengths):
            seen += lengths[length]
            if seen >= share * rows:
                found[f"p{round(100 * share)}"] = length
                break
    return found | {"longest": max(lengths)}
