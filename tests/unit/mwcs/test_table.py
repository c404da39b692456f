"""The weight table: every step, exact floats, and a plot that is a picture."""

from __future__ import annotations

import csv
from pathlib import Path

from cbdata.mwcs.schedule import load_schedule, schedule_path
from cbdata.mwcs.table import PLOT_POINTS, plot_steps, write_plot, write_table


def test_a_row_per_step_with_weights_that_read_back_exactly(tmp_path: Path) -> None:
    schedule = load_schedule(schedule_path("alpha_decay_staged"))
    write_table(schedule, 300, tmp_path / "weights.csv")
    with open(tmp_path / "weights.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [int(row["step"]) for row in rows] == list(range(301))
    for row in rows:
        assert {name: float(row[name]) for name in schedule.classes} == schedule.weights(
            int(row["step"])
        )
        assert (row["phase"], row["default_weight"]) == (schedule.phase_at(int(row["step"])), "1.0")
    assert list(rows[0])[:2] == ["step", "phase"]
    assert list(rows[0])[2:-1] == sorted(schedule.classes)


def test_text_in_names_stays_one_cell_and_one_label(tmp_path: Path) -> None:
    (tmp_path / "made.yaml").write_text(
        'name: "$x_1$"\nclass_weights: {"a,\\"b\\"": 1, "$\\\\frac$": 2}'
    )
    schedule = load_schedule(tmp_path / "made.yaml")
    write_table(schedule, 0, tmp_path / "weights.csv")
    with open(tmp_path / "weights.csv", newline="") as handle:
        assert list(csv.reader(handle)) == [
            ["step", "phase", "$\\frac$", 'a,"b"', "default_weight"],
            ["0", "constant", "2.0", "1.0", "1.0"],
        ]
    write_plot(schedule, 0, tmp_path / "weights.png")
    assert (tmp_path / "weights.png").read_bytes().startswith(b"\x89PNG")


def test_the_plot_is_the_same_twice_and_not_empty(tmp_path: Path) -> None:
    schedule = load_schedule(schedule_path("staged_introduction"))
    for name in ("one.png", "two.png"):
        write_plot(schedule, 400, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").stat().st_size > 5000


def test_long_tables_are_drawn_with_their_borders() -> None:
    schedule = load_schedule(schedule_path("staged_introduction"))
    steps = plot_steps(schedule, 1_000_000)
    assert {0, 99, 100, 219, 220, 399, 400, 1_000_000} <= set(steps)
    assert len(steps) <= PLOT_POINTS + 8
