"""What the stats of loss masks tell beside the counts of records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from cbdata.lossmask.rows import Masks
from cbdata.lossmask.selection import Chosen
from cbdata.traces.facts import TraceFacts


class Tally:
    """Sums for the stats of one loss mask file, or of a part of it.

    Sums of weights are exact, so that they do not depend on how the rows were divided.
    """

    def __init__(self) -> None:
        self.tokens = self.trained = self.zero_weight = self.weighted = 0
        self.policies: Counter[str] = Counter()
        self.pooling: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.unsuited: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.before: dict[str, Fraction] = {}
        self.after: dict[str, Fraction] = {}

    def add(self, trace: TraceFacts, chosen: Chosen, masks: Masks) -> None:
        """Count a row.

        Args:
            trace: The trace that it is of.
            chosen: Its policies and weight.
            masks: Its masks.
        """
        policy, weight = chosen.policy, trace.sample_weight * chosen.class_weight
        self.tokens += masks.loss.length
        self.trained += masks.loss.trained
        self.weighted += bool(trace.losses)
        if chosen.pooling is not None:
            self.pooling[f"{chosen.pooling.id}@{chosen.pooling.version}"] += 1
        self.zero_weight += weight == 0
        self.policies[f"{policy.id}@{policy.version}"] += 1
        self.sources[chosen.source] += 1
        if trace.category not in policy.suits:
            self.unsuited[f"{policy.id} on {trace.category}"] += 1
        name = trace.class_id
        self.rows[name] += 1
        self.before[name] = self.before.get(name, 0) + Fraction(trace.sample_weight)
        self.after[name] = self.after.get(name, 0) + Fraction(weight)

    def packed(self) -> dict[str, Any]:
        """The sums as they stand in the stats of a part of a file."""
        return {
            name: {key: str(value) for key, value in found.items()}
            if name in ("before", "after")
            else found
            for name, found in vars(self).items()
        }

    def merge(self, packed: Mapping[str, Any]) -> None:
        """Take in the sums of a part, as ``packed`` gives them."""
        for name, found in packed.items():
            own = getattr(self, name)
            if name in ("before", "after"):
                for key, value in found.items():
                    own[key] = own.get(key, 0) + Fraction(value)
            elif isinstance(own, Counter):
                own.update(found)
            else:
                setattr(self, name, own + found)

    def details(self) -> dict[str, Any]:
        """The sums as they stand in the stage's stats."""
        before, after = sum(self.before.values()), sum(self.after.values())
        return {
            "tokens": self.tokens,
            "trained_tokens": self.trained,
            "zero_weight_rows": self.zero_weight,
            "policies": dict(sorted(self.policies.items())),
            **({"pooling_policies": dict(sorted(self.pooling.items()))} if self.pooling else {}),
            **({"rows_with_message_losses": self.weighted} if self.weighted else {}),
            "policy_sources": dict(sorted(self.sources.items())),
            "policy_unsuited_to_category": dict(sorted(self.unsuited.items())),
            "classes": {
                name: {
                    "rows": rows,
                    "weight_before": float(self.before[name]),
                    "weight_after": float(self.after[name]),
                    "share_before": float(self.before[name] / before) if before else 0.0,
                    "share_after": float(self.after[name] / after) if after else 0.0,
                }
                for name, rows in sorted(self.rows.items())
            },
        }
