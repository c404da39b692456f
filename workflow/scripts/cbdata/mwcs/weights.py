"""How class weights move over training steps.

Phases are half-open step ranges ``[start, end)``. At ``start`` a phase has its own weights. Inside
it

- ``step`` holds them,
- ``linear`` moves them in a straight line to the next phase's weights, reached at ``end``,
- ``cosine`` does so along half a cosine, ``(1 - cos(pi t)) / 2``,

and the last phase holds. Between ``end`` and the next ``start`` (a gap) interpolation ``none``
keeps what was reached at ``end``, ``linear`` moves on to the next phase's weights in a straight
line, ``smooth`` along ``3 t^2 - 2 t^3``; after ``linear`` and ``cosine`` phases they are reached
already. Before the first phase its weights hold, after the last one its.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Weights = Mapping[str, float]

WITHIN: Mapping[str, Callable[[float], float]] = {
    "step": lambda t: 0.0,
    "linear": lambda t: t,
    "cosine": lambda t: (1 - math.cos(math.pi * t)) / 2,
}
ACROSS_GAP: Mapping[str, Callable[[float], float]] = {
    "none": lambda t: 0.0,
    "linear": lambda t: t,
    "smooth": lambda t: t * t * (3 - 2 * t),
}


@dataclass(frozen=True)
class Phase:
    """One phase of a curriculum: steps ``[start, end)``, complete weights (every class that the
    schedule names), policies by class.
    """

    name: str
    start: int
    end: int
    weights: Weights
    lmp_overrides: Mapping[str, Any] = field(default_factory=dict)


def phase_index(phases: Sequence[Phase], step: int) -> int:
    """The phase that a step belongs to: the last one that has begun, the first one before any
    has.
    """
    return max((index for index, phase in enumerate(phases) if phase.start <= step), default=0)


def weights_at(
    phases: Sequence[Phase], kind: str, interpolation: str, step: int
) -> dict[str, float]:
    """The weight of every class at a step.

    Args:
        phases: Phases in order, which do not overlap.
        kind: A key of WITHIN: how weights move inside a phase.
        interpolation: A key of ACROSS_GAP: how they move between two phases.
        step: The training step, from 0.
    """
    index = phase_index(phases, step)
    phase = phases[index]
    if step < phase.start or index + 1 == len(phases):
        return dict(phase.weights)
    following = phases[index + 1]
    moved = WITHIN[kind](min((step - phase.start) / (phase.end - phase.start), 1.0))
    gap = (
        ACROSS_GAP[interpolation]((step - phase.end) / (following.start - phase.end))
        if step >= phase.end
        else 0.0
    )
    return {
        name: _between(_between(own, following.weights[name], moved), following.weights[name], gap)
        for name, own in phase.weights.items()
    }


def _between(start: float, end: float, share: float) -> float:
    """The point at ``share`` of the way, exactly ``end`` at 1."""
    return end if share == 1.0 else start + (end - start) * share
