from __future__ import annotations

import pytest

from cbdata.suggest import did_you_mean


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [
        ("temprature_ds", "did you mean temperature_ds or temperature_dr?"),
        ("SPLIT", "did you mean split?"),
        ("cb", "did you mean balanced_cb?"),
        ("zzzz", ""),
        ("", ""),
    ],
)
def test_close_names_then_names_that_contain_it(unknown: str, expected: str) -> None:
    known = ["split", "temperature_ds", "temperature_dr", "balanced_cb"]
    assert did_you_mean(unknown, known) == expected


def test_three_at_most_and_in_their_own_spelling() -> None:
    assert did_you_mean("policya", ["policyA", "policyB", "policyC", "policyD"]).count(" or ") == 2
    assert did_you_mean("policya", ["policyB", "policyA"]).startswith("did you mean policyA or")
