"""What the viewer says of one trace, and what it is filtered by."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.report.trace_view import facets, trace_record, weight_runs
from tests.records import Corpus


def spread(length: int, runs: list[list[float]]) -> list[float]:
    weights = [0.0] * length
    for start, end, weight in runs:
        weights[int(start) : int(end)] = [weight] * int(end - start)
    return weights


@given(st.lists(st.sampled_from([0.0, 0.3, 1.0])))
def test_runs_are_the_mask(mask: list[float]) -> None:
    assert spread(len(mask), weight_runs(mask)) == mask


def test_a_trace_without_more_says_so() -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    trace, render = corpus.traces[0], corpus.renders[0]
    assert facets(trace, render) == {
        "suite": "tool_flip",
        "model": "not told",
        "defense": "none",
        "attack": "LLM01",
        "cut": "whole",
    }


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"source": {"subset": "workspace"}}, {"suite": "workspace"}),
        ({"source": {"model_id": "gpt-4o", "defense": "tool_filter"}}, {"model": "gpt-4o"}),
        ({"source": {"defense": "tool_filter"}}, {"defense": "tool_filter"}),
        ({"raw_metadata": {"generation": {"model": "some/model"}}}, {"model": "some/model"}),
        ({"labels": {"attack_type": None}}, {"attack": "not named"}),
        ({"labels": {"attack_type": None, "attack_present": False}}, {"attack": "none"}),
        ({"render_options": {"truncation_side": "right"}}, {"cut": "cut at the end"}),
        ({"render_options": {"truncation_side": "window"}}, {"cut": "cut in the middle"}),
    ],
)
def test_where_the_facets_come_from(
    changes: dict[str, dict[str, Any]], told: dict[str, str]
) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    trace, render = corpus.traces[0], corpus.renders[0]
    for key, values in changes.items():
        (render if key == "render_options" else trace)[key] |= values
    assert facets(trace, render).items() >= told.items()


def test_reasoning_and_the_facets_are_in_the_record() -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    trace, render = corpus.traces[0], corpus.renders[0]
    trace["source"] |= {"subset": "workspace", "model_id": "gpt-4o"}
    render["alignment"]["thinking_spans"] = [
        {"message_index": 2, "token_start": 20, "token_end": 24}
    ]
    record = trace_record(trace, render, {}, [])
    assert record["thinking"] == [[20, 24]]
    assert record["about"].items() >= {"suite": "workspace", "model": "gpt-4o"}.items()
    assert "cut" not in record["about"] and record["masks"] == {}
