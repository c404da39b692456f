"""Class counts over all input traces, and shares before and after weighting."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.mwcs.mixture import count_classes, mixture_shares, read_mixture, write_mixture
from tests.conversations import build_trace
from tests.records import write_jsonl


def test_classes_are_counted_over_all_files(tmp_path: Path) -> None:
    one = write_jsonl(
        tmp_path / "one.jsonl",
        [build_trace("trace_x_1", class_id="b", weight=2), build_trace("trace_x_2", class_id="a")],
    )
    two = write_jsonl(tmp_path / "two.jsonl", [build_trace("trace_x_3", class_id="b", weight=0.5)])
    counted = count_classes([one, two])
    assert list(counted.items()) == [
        ("a", {"traces": 1, "weight": 1.0}),
        ("b", {"traces": 2, "weight": 2.5}),
    ]
    write_mixture([one, two], tmp_path / "classes.json")
    assert read_mixture(tmp_path / "classes.json") == counted


def test_shares_by_hand() -> None:
    mixture = {"a": {"traces": 3, "weight": 3.0}, "b": {"traces": 1, "weight": 1.0}}
    shares = mixture_shares(mixture, {"a": 0.5}, default_weight=1.5)
    # After: a 1.5, b 1.5.
    assert {
        name: (
            entry["share_before"],
            entry["share_after"],
            entry["class_weight"],
            entry["in_schedule"],
        )
        for name, entry in shares.items()
    } == {
        "a": (0.75, 0.5, 0.5, True),
        "b": (0.25, 0.5, 1.5, False),
    }


def test_shares_where_every_weight_is_zero() -> None:
    shares = mixture_shares({"a": {"traces": 1, "weight": 1.0}}, {"a": 0.0}, default_weight=1.0)
    assert shares["a"]["share_after"] == pytest.approx(0.0)
