"""Where a trace is cut, what is kept, and which cuts are one."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.decision_points.cut import CutSettings, cuts, is_cut
from cbdata.rejects import Reject
from tests.unit.decision_points.runs import (
    ATTACK,
    PAY,
    READ,
    attacked_run,
    clean_run,
    result,
    start,
    turn,
)

RECORDED = CutSettings("injection", "recorded")
MINIMAL = CutSettings("injection", "minimal")
EVERY_TURN = CutSettings("every_turn", "recorded")


def span(message_index: int, start_at: int = 0, length: int = len(ATTACK)) -> dict[str, int]:
    return {
        "message_index": message_index,
        "char_start": start_at,
        "char_end": start_at + length,
    }


def long_run() -> dict[str, Any]:
    """Two turns of calls, the second of three calls, of whose results two hold the injection; it
    is read again later.
    """
    messages = [
        *start(),
        turn(0, ("get_balance", {}), content="First."),
        result(0, "5"),
        turn(1, READ, ("get_iban", {}), ("read_file", {"file": "b"}), content="Then."),
        result(1, ATTACK),
        result(1, "IBAN", 1),
        result(1, f"b {ATTACK}", 2),
        turn(2, READ),
        result(2, ATTACK),
        {"role": "assistant", "content": "Done."},
    ]
    hints = {
        "injection_char_span": span(5),
        "injection_char_spans": [span(5), span(7, 2), span(9)],
    }
    return attacked_run(messages=messages, signal_hints=hints)


def test_the_cut_keeps_every_result_of_the_turn_in_which_the_injection_is_first_read() -> None:
    trace = long_run()
    [cut] = cuts(trace, RECORDED)
    assert (cut.kind, cut.message_index) == ("injection", 8)
    assert cut.messages == trace["messages"][:8]
    assert cut.spans == [span(5), span(7, 2)]


def test_a_minimal_prefix_keeps_the_calls_that_brought_the_injection_in() -> None:
    trace = long_run()
    [cut] = cuts(trace, MINIMAL)
    assert cut.message_index == 8
    first, _, third = trace["messages"][4]["tool_calls"]
    assert cut.messages == [
        *start(),
        {**trace["messages"][4], "tool_calls": [first, third]},
        trace["messages"][5],
        trace["messages"][7],
    ]
    assert cut.spans == [span(3), span(4, 2)]
    assert len(trace["messages"][4]["tool_calls"]) == 3


def test_a_clean_run_is_cut_at_every_turn_of_the_model() -> None:
    trace = clean_run()
    assert not is_cut(trace, RECORDED)
    assert is_cut(trace, EVERY_TURN)
    found = list(cuts(trace, EVERY_TURN))
    assert [(cut.kind, cut.message_index, len(cut.messages)) for cut in found] == [
        ("clean", 2, 2),
        ("clean", 4, 4),
        ("clean", 6, 6),
    ]
    assert all(cut.messages == trace["messages"][: cut.message_index] for cut in found)
    assert all(cut.spans == [] for cut in found)


@pytest.mark.parametrize("settings", [RECORDED, EVERY_TURN])
def test_an_attack_that_the_model_never_saw_is_not_cut(settings: CutSettings) -> None:
    trace = attacked_run()
    assert is_cut(trace, settings)
    trace["labels"]["exposed"] = False
    assert not is_cut(trace, settings)


@pytest.mark.parametrize(
    ("hints", "reason"),
    [
        ({}, "span_missing"),
        ({"injection_char_span": span(3, 0, 500)}, "span_outside_message"),
        ({"injection_char_span": span(3, 5, 0)}, "span_outside_message"),
        ({"injection_char_span": span(9)}, "span_outside_message"),
        ({"injection_char_span": span(1, 0, 3)}, "injection_not_in_tool_result"),
    ],
)
def test_a_trace_without_a_usable_place_is_a_reject(hints: dict[str, Any], reason: str) -> None:
    with pytest.raises(Reject) as why:
        list(cuts(attacked_run(signal_hints=hints), RECORDED))
    assert why.value.reason == reason


def test_a_result_whose_call_is_not_in_the_turn_before_has_no_minimal_prefix() -> None:
    trace = attacked_run()
    trace["messages"][3] = {**trace["messages"][3], "tool_call_id": "other"}
    with pytest.raises(Reject) as why:
        list(cuts(trace, MINIMAL))
    assert why.value.reason == "result_without_call"
    assert list(cuts(trace, RECORDED))


def key(trace: dict[str, Any]) -> str:
    [cut] = cuts(trace, RECORDED)
    return cut.key


def test_traces_with_the_same_prefix_have_one_key_whatever_ids_their_calls_have() -> None:
    one = attacked_run("one", answer=turn(1, PAY))
    other = attacked_run("two")
    for message in other["messages"][2:4]:
        if "tool_calls" in message:
            message["tool_calls"][0]["call_id"] = "another"
        else:
            message["tool_call_id"] = "another"
    assert key(one) == key(other)


@pytest.mark.parametrize("what", ["attack", "task", "suite", "arguments", "prose"])
def test_what_makes_two_skeletons_of_two_traces(what: str) -> None:
    one, other = attacked_run(), attacked_run()
    if what == "attack":
        text = other["messages"][3]["content"].replace("EVIL1", "EVIL2")
        other["messages"][3] = {**other["messages"][3], "content": text}
    elif what == "task":
        other["task"]["name"] = "another"
    elif what == "suite":
        other["task"]["family"] = "another"
    elif what == "arguments":
        other["messages"][2] = turn(0, ("read_file", {"file": "Bill.txt"}))
    else:
        other["messages"][2] = turn(0, READ, content="I read it.")
    assert key(one) != key(other)
