"""What skeletons and completions are told apart by."""

from __future__ import annotations

from cbdata.report.yield_keys import YieldTally
from tests.records import make_trace, message


def test_a_skeleton_counts_for_its_attack_its_suite_and_each_pipeline() -> None:
    trace = make_trace([message("user", "x")], role="skeleton")
    trace["labels"] |= {"attack_type": "LLM01", "capability_category": "html"}
    plain = make_trace([message("user", "y")], role="skeleton")
    plain["labels"]["attack_type"] = None
    cut = trace | {"decision_point": {"source_pipelines": ["m1", "m2"]}}
    tally = YieldTally()
    for one in (trace, plain, cut):
        tally.add(one)
    assert tally.by["attack"].counts == {("LLM01 / html",): {"": 2}, ("tool_flip",): {"": 1}}
    assert tally.by["suite"].counts == {("tool_flip",): {"": 3}}
    assert tally.by["pipeline"].counts == {("m1",): {"": 1}, ("m2",): {"": 1}}
