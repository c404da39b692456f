"""A call format that does not fit shows while completions come in."""

from __future__ import annotations

import logging

import pytest

from cbdata.fill.outcome_watch import OutcomeWatch, describe_unread, shape, unread_share
from cbdata.judge.judgement import Judgement, judge
from cbdata.judge.reading import ReadingRules
from cbdata.tools import ToolSchema

CALL = '{"name": "search_web", "arguments": {"query": "%d"}}'


def judged(text: str, tools: ToolSchema) -> Judgement:
    return judge(
        text,
        finish_reason="stop",
        mode="dr",
        expected_tool="search_web",
        simulated_tool=None,
        tool_schema=tools,
        rules=ReadingRules("hermes_json"),
    )


def watched(tools: ToolSchema, *texts: str) -> OutcomeWatch:
    watch = OutcomeWatch()
    for text in texts:
        watch.note(judged(text, tools), text)
    return watch


def test_a_format_that_does_not_fit_is_told_once_with_the_commonest_shape(
    b4_tools: ToolSchema, caplog: pytest.LogCaptureFixture
) -> None:
    other = [f"<function=search_web>{{\x1b[2J {number}}}</function>" for number in range(150)]
    good = [f"<tool_call>\n{CALL % number}\n</tool_call>" for number in range(60)]
    with caplog.at_level(logging.WARNING):
        watched(b4_tools, *good, *other, *other)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "of 200 completions 70.0% without a readable call" in message
    assert "read as hermes_json" in message and "140 of them" in message
    assert "<function=search_web>{\\x1b[2J 0}</function>" in message and "\x1b" not in message


def test_half_is_not_most_and_too_few_say_nothing(
    b4_tools: ToolSchema, caplog: pytest.LogCaptureFixture
) -> None:
    good, prose = f"<tool_call>\n{CALL % 1}\n</tool_call>", "The tide is high at noon."
    with caplog.at_level(logging.WARNING):
        watched(b4_tools, *[good, prose] * 150)
        watched(b4_tools, *[prose] * 199)
    assert not caplog.records


def test_figures(b4_tools: ToolSchema) -> None:
    watch = watched(b4_tools, f"<tool_call>\n{CALL % 1}\n</tool_call>", "High tide.", "<tool_call>")
    assert watch.outcomes == {"expected_tool": 1, "no_call": 1, "malformed": 1}
    assert unread_share(watch.outcomes) == pytest.approx(2 / 3) and unread_share({}) == 0
    assert describe_unread(watch.outcomes) == (
        "66.7% without a readable call (unclear 0.0%, malformed 33.3%, no_call 33.3%)"
    )


def test_words_and_values_make_no_other_shape() -> None:
    assert shape('{"name": "a", "n": 12}') == shape('{"q":\n "b\\"c", "m": 3}') == '{"": "", "": 0}'
    assert shape("Let me see: 3.") == shape("High tide then: 14.") == "a: 0."
    assert shape("x" * 10_000_000) == "a"
