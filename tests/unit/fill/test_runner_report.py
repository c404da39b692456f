"""What a job says while completions come in."""

from __future__ import annotations

import logging

import pytest

from cbdata.fill.runner import Attempted, Throughput
from cbdata.fill.runner_report import Report
from tests.unit.fill.test_requests import item


def line(caplog: pytest.LogCaptureFixture, *parts: Throughput) -> str:
    work = [Attempted(item("a", "ds", [1])), Attempted(item("b", "dr", [1]))]
    work[0].refusal = "no"
    with caplog.at_level(logging.INFO):
        report = Report(work, parts, "transformers")
        report.log(5)
        assert caplog.messages == []  # too soon
        report.log(5, last=True)
    return caplog.messages[0]


def test_the_sets_of_a_job_are_added_up(caplog: pytest.LogCaptureFixture) -> None:
    first = Throughput(10, 0, 600, 40, 2.0, 9.0, cached_prompt_tokens=300)
    said = line(caplog, first, Throughput(10, 0, 400, 60, 2.0, 9.0, cached_prompt_tokens=450))
    assert "1 of 2 items have a completion (50%), 5 requests not yet sent" in said
    assert "5.0 completions/s, 25 completion tokens/s" in said
    assert "prefix cache: 75.0% of 1,000 prompt tokens; accepted: dr 0 of 1, ds 0 of 1" in said


def test_an_engine_without_a_prefix_cache_says_so(caplog: pytest.LogCaptureFixture) -> None:
    said = line(caplog, Throughput(10, 0, 600, 40, 2.0))
    assert "prefix cache: not applicable (transformers has none, or does not say)" in said
