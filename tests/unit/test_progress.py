"""Progress lines: how often they come and what they say."""

from __future__ import annotations

import logging

import pytest

from cbdata import progress
from cbdata.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose one entry is the time."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_comes_at_most_every_few_seconds_and_one_at_the_end(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    work = Progress("rows", total=100, every_s=10)
    for _ in range(10):
        clock[0] += 2.5
        work.add(2)
    work.finish("done")
    assert [record.getMessage() for record in caplog.records] == [
        "rows: 8 of 100, about 115 s left, 0.8/s",
        "rows: 16 of 100, about 105 s left, 0.8/s",
        "rows: 20 of 100, about 100 s left, 0.8/s, done",
    ]


def test_without_a_total_or_any_work_no_time_left_is_given(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock[0] = 0.0
    unknown, idle = Progress("rows"), Progress("rows", total=5)
    clock[0] = 4.0
    unknown.add(2)
    unknown.finish()
    idle.finish()
    assert [record.getMessage() for record in caplog.records] == [
        "rows: 2, 0.5/s",
        "rows: 0 of 5, 0.0/s",
    ]
