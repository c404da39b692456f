"""How often every class occurs over all input traces: what a schedule is checked against, and
shares before and after weighting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from cbdata.json_file import write_json
from cbdata.traces.facts import TraceReader

Mixture = dict[str, dict[str, float]]


def count_classes(traces: Iterable[str | Path]) -> Mixture:
    """Class id -> ``traces`` (number) and ``weight`` (sum of their own sample weights) over trace
    files, classes sorted.
    """
    mixture: Mixture = {}
    for path in traces:
        for facts in TraceReader(path):
            entry = mixture.setdefault(facts.class_id, {"traces": 0, "weight": 0.0})
            entry["traces"] += 1
            entry["weight"] += facts.sample_weight
    return dict(sorted(mixture.items()))


def write_mixture(traces: Iterable[str | Path], out: str | Path) -> None:
    """Count the classes of trace files into a JSON file."""
    write_json(out, {"classes": count_classes(traces)})


def read_mixture(path: str | Path) -> Mixture:
    """What ``write_mixture`` wrote."""
    mixture: Mixture = orjson.loads(Path(path).read_bytes())["classes"]
    return mixture


def mixture_shares(
    mixture: Mixture, weights: Mapping[str, float], default_weight: float
) -> dict[str, dict[str, Any]]:
    """What the weights of one step make of the data.

    Args:
        mixture: The classes of all input traces, as ``count_classes`` gives them.
        weights: Class id -> weight at the step.
        default_weight: The weight of classes that are not among them.

    Returns:
        Per class: number of traces, weight, whether the schedule names it, and its share of the
        summed sample weight before and after weighting, 0 to 1.
    """
    after = {
        name: entry["weight"] * weights.get(name, default_weight) for name, entry in mixture.items()
    }
    total_before, total_after = (
        sum(entry["weight"] for entry in mixture.values()),
        sum(after.values()),
    )
    return {
        name: {
            "traces": entry["traces"],
            "class_weight": weights.get(name, default_weight),
            "in_schedule": name in weights,
            "share_before": entry["weight"] / total_before if total_before else 0.0,
            "share_after": after[name] / total_after if total_after else 0.0,
        }
        for name, entry in mixture.items()
    }
