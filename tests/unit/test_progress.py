"""Progress lines: how often they come, what they say, and who sees them."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from cbdata import progress
from cbdata.counted_file import open_counted
from cbdata.progress import Progress, duration, watched


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose one entry is the time."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, bool]]:
    """The lines, and whether they are for the console too."""
    return [
        (record.getMessage(), getattr(record, "on_console", False)) for record in caplog.records
    ]


def test_a_line_comes_at_most_every_few_seconds_and_one_at_the_end(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    work = Progress("rows", total=1000, every_s=10)
    for _ in range(10):
        clock[0] += 2.5
        work.add(20)
    work.finish("fine")
    assert said(caplog) == [
        ("rows: 80 of 1,000 (8%), 8.0/s, about 115 s left", True),
        ("rows: 160 of 1,000 (16%), 8.0/s, about 105 s left", True),
        ("rows: 200 of 1,000 done in 25 s, 8.0/s, fine", True),
    ]


def test_the_share_of_the_input_s_bytes_stands_for_the_work(
    clock: list[float], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "input"
    path.write_bytes(b"x" * (4 << 20))
    work = Progress("rows", files=[path])
    with open_counted(path) as handle:
        handle.read(1 << 20)
        clock[0] += 60
        work.add(30, "extra")
    assert said(caplog) == [("rows: 30 (25%), 0.5/s, about 3 min left, extra", True)]


def test_short_work_is_told_in_the_log_alone_and_nothing_is_guessed(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock[0] = 0.0
    unknown, idle = Progress("rows"), Progress("rows", total=5)
    clock[0] = 4.0
    unknown.add(2)
    unknown.finish()
    idle.finish()
    clock[0] = 20.0
    unknown.add()
    assert said(caplog) == [
        ("rows: 2 done in 4 s, 0.5/s", False),
        ("rows: 0 of 5 done in 4 s, 0.0/s", False),
        ("rows: 3, 0.1/s", False),
    ]


def test_work_without_records_is_watched_by_what_it_reads(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "input"
    path.write_bytes(b"x" * (4 << 20))
    with watched("page", [path], every_s=0.05), open_counted(path) as handle:
        handle.read(1 << 20)
        time.sleep(0.2)
        handle.read()
        time.sleep(0.2)
    lines = said(caplog)
    assert lines[0][0].startswith("page: 25% of the input read, about ") and lines[0][1]
    assert lines[-1][0].startswith("page: the input is read, at work for ")
    count = len(lines)
    time.sleep(0.2)
    assert len(caplog.records) == count, "no line after the work"


def test_time_spans_for_people() -> None:
    assert [duration(seconds) for seconds in (0.4, 119, 125, 7000, 12_240)] == [
        "0 s",
        "119 s",
        "2 min",
        "117 min",
        "3.4 h",
    ]
