"""Weights at every kind of step, against values computed by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.mwcs.weights import ACROSS_GAP, WITHIN, Phase, phase_index, weights_at

# Two phases with a gap: [10, 20) at weight 1, [30, 40) at weight 3; what lies between moves by 2.
PHASES = (Phase("first", 10, 20, {"a": 1.0}), Phase("second", 30, 40, {"a": 3.0}))

HAND = {
    # kind, interpolation: {step: weight}
    ("step", "none"): {
        0: 1,
        9: 1,
        10: 1,
        15: 1,
        19: 1,
        20: 1,
        25: 1,
        29: 1,
        30: 3,
        35: 3,
        39: 3,
        40: 3,
        1000: 3,
    },
    ("step", "linear"): {0: 1, 10: 1, 19: 1, 20: 1, 21: 1.2, 25: 2, 29: 2.8, 30: 3, 39: 3, 40: 3},
    # 3 t^2 - 2 t^3 at t = 1/10, 1/2, 9/10 is 0.028, 1/2, 0.972.
    ("step", "smooth"): {10: 1, 20: 1, 21: 1.056, 25: 2, 29: 2.944, 30: 3},
    # Reached at 20, then nothing is left for the gap, whatever the interpolation.
    ("linear", "none"): {
        0: 1,
        9: 1,
        10: 1,
        11: 1.2,
        15: 2,
        19: 2.8,
        20: 3,
        25: 3,
        29: 3,
        30: 3,
        35: 3,
        40: 3,
    },
    ("linear", "smooth"): {15: 2, 20: 3, 25: 3, 30: 3},
    # (1 - cos(pi t)) / 2 at t = 1/4, 1/3 (not a step here), 1/2, 3/4 is (2 - sqrt 2) / 4, ..., 1/2,
    # (2 + sqrt 2) / 4.
    ("cosine", "none"): {
        10: 1,
        15: 2,
        20: 3,
        25: 3,
        30: 3,
        12.5: 1 + (2 - math.sqrt(2)) / 2,
        17.5: 1 + (2 + math.sqrt(2)) / 2,
    },
}


@pytest.mark.parametrize(
    ("kind", "interpolation", "step", "weight"),
    [(*key, *point) for key, points in HAND.items() for point in points.items()],
)
def test_weight_at_a_step(kind: str, interpolation: str, step: int, weight: float) -> None:
    assert weights_at(PHASES, kind, interpolation, step)["a"] == pytest.approx(weight, abs=1e-12)


@pytest.mark.parametrize("kind", WITHIN)
@pytest.mark.parametrize("interpolation", ACROSS_GAP)
def test_own_weights_at_the_start_of_every_phase_exactly(kind: str, interpolation: str) -> None:
    phases = (
        Phase("x", 0, 3, {"a": 0.1}),
        Phase("y", 3, 7, {"a": 0.7}),
        Phase("z", 9, 10, {"a": 0.3}),
    )
    assert [weights_at(phases, kind, interpolation, step)["a"] for step in (0, 3, 9, 10, 99)] == [
        0.1,
        0.7,
        0.3,
        0.3,
        0.3,
    ]


def test_a_border_belongs_to_the_phase_that_begins_there() -> None:
    adjacent = (Phase("x", 0, 5, {"a": 1.0}), Phase("y", 5, 10, {"a": 2.0}))
    assert [phase_index(adjacent, step) for step in (0, 4, 5, 9, 10)] == [0, 0, 1, 1, 1]
    assert [weights_at(adjacent, "step", "none", step)["a"] for step in (4, 5)] == [1.0, 2.0]
    # Linear: 1 + (4/5) at step 4, then the second phase, which has none to move to.
    assert [weights_at(adjacent, "linear", "none", step)["a"] for step in (4, 5, 9)] == [
        1.8,
        2.0,
        2.0,
    ]


def test_a_gap_belongs_to_the_phase_before_it() -> None:
    assert [phase_index(PHASES, step) for step in (0, 10, 19, 20, 29, 30, 40)] == [
        0,
        0,
        0,
        0,
        0,
        1,
        1,
    ]


@st.composite
def curricula(draw: st.DrawFn) -> tuple[Phase, ...]:
    borders = sorted(draw(st.sets(st.integers(0, 200), min_size=2, max_size=8)))
    borders = borders[: len(borders) // 2 * 2]
    weights = st.floats(0, 10, allow_nan=False)
    return tuple(
        Phase(str(index), start, end, {"a": draw(weights)})
        for index, (start, end) in enumerate(zip(borders[::2], borders[1::2], strict=True))
    )


@given(
    curricula(),
    st.sampled_from(sorted(WITHIN)),
    st.sampled_from(sorted(ACROSS_GAP)),
    st.integers(0, 250),
)
def test_weights_stay_between_those_of_the_two_phases_around_them(
    phases: tuple[Phase, ...], kind: str, interpolation: str, step: int
) -> None:
    index = phase_index(phases, step)
    around = [phase.weights["a"] for phase in phases[index : index + 2]]
    weight = weights_at(phases, kind, interpolation, step)["a"]
    assert min(around) - 1e-9 <= weight <= max(around) + 1e-9
