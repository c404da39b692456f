"""The figure of a curriculum: weights of every class over the steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.mwcs.schedule import load_schedule
from cbdata.report.chart import Curve
from cbdata.report.classes import ClassTally
from cbdata.report.curriculum import POINTS, curriculum

TEXT = """
name: two
default_weight: 0.5
curriculum:
  type: linear
  phases:
    - {name: first, start_step: 0, end_step: 100, class_weights: {d/ds: 0.0}}
    - {name: second, start_step: 100, end_step: 400, class_weights: {d/ds: 2.0}}
"""


@pytest.fixture
def classes() -> ClassTally:
    counted = ClassTally()
    for class_id, role, count in (("d/ds", "ds", 1), ("d/dr", "dr", 3)):
        for _ in range(count):
            counted.add_trace(class_id, role)
    return counted


def test_weights_at_the_steps_and_shares_at_the_runs(tmp_path: Path, classes: ClassTally) -> None:
    (tmp_path / "two.yaml").write_text(TEXT, encoding="utf-8")
    figure = curriculum(load_schedule(tmp_path / "two.yaml"), 50, classes)
    assert figure is not None
    assert figure.table.head == ("class", "at 0", "at 50", "at 400", "traces", "share at 50")
    # At step 50 the DS is half way to 2; the DR, which the schedule does not name, has 0.5.
    assert figure.table.rows == [
        ("d/ds", "0", "1", "2", "1", "40.0%"),
        ("d/dr", "0.5", "0.5", "0.5", "3", "60.0%"),
    ]
    ds, dr = figure.table.drawn
    assert isinstance(ds, Curve) and isinstance(dr, Curve)
    assert (ds.colour, dr.colour, ds.mark) == ("ds", "dr", 0.125)
    assert ds.points[0] == (0, 0) and ds.points[-1] == (1, 1) and (0.25, 1) in ds.points
    assert {y for _, y in dr.points} == {0.25}
    assert len(ds.points) <= POINTS + 10
    assert "first [0, 100), second [100, 400)" in figure.note


def test_constant_weights_are_no_curriculum(repo: Path, classes: ClassTally) -> None:
    constant = load_schedule(repo / "configs/mwcs/balanced_cb.yaml")
    assert curriculum(constant, 0, classes) is None
    assert curriculum(None, 0, classes) is None
