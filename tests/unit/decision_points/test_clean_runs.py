"""What clean runs tell about the next step of a task."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.decision_points.clean_runs import CleanRuns, calls_of, expected_call, solved
from tests.unit.decision_points.runs import PAY, READ, attacked_run, clean_run, result, start, turn
from tests.unit.held_memory import held_for_each

TASK = ("bank", "pay_bill")
EXPECTED_PAY = {
    "tool": "send_money",
    "arguments": {
        "recipient": {"match": "equals", "value": "GOOD1"},
        "amount": {"match": "equals", "value": 98.7},
    },
}


def runs(*conversations: list[dict[str, Any]]) -> CleanRuns:
    found = CleanRuns()
    for messages in conversations:
        found.add(TASK, messages)
    return found


def test_the_next_turn_after_the_same_calls_is_expected() -> None:
    known = runs(clean_run()["messages"])
    assert known.next_calls(TASK, [READ]) == [EXPECTED_PAY]
    assert known.next_calls(TASK, [READ, PAY]) == []
    assert known.next_calls(TASK, []) == [expected_call(*READ)]


def test_nobody_tells_after_other_calls_or_for_another_task() -> None:
    known = runs(clean_run()["messages"])
    assert known.next_calls(TASK, [("read_file", {"file": "other.txt"})]) is None
    assert known.next_calls(TASK, [READ, READ]) is None
    assert known.next_calls(("bank", "other"), [READ]) is None
    assert known.known(TASK) and not known.known(("bank", "other"))


def test_several_runs_give_the_calls_of_all_without_repeats_and_in_any_order_of_what_was_done() -> (
    None
):
    other = ("get_balance", {})
    one = [*start(), turn(0, READ, other), result(0, "b"), turn(1, PAY)]
    two = [*start(), turn(0, other), turn(1, READ), turn(2, ("ask", {})), turn(3, PAY)]
    known = runs(one, two, one)
    assert known.next_calls(TASK, [READ, other]) == [EXPECTED_PAY, expected_call("ask", {})]


def test_in_the_middle_of_a_turn_nobody_tells() -> None:
    known = runs([*start(), turn(0, READ, PAY), {"role": "assistant", "content": "Done."}])
    assert known.next_calls(TASK, [READ]) is None


def test_prose_between_calls_is_no_answer_and_prose_at_the_end_is_one() -> None:
    talk = {"role": "assistant", "content": "Let me see."}
    known = runs([*start(), talk, turn(0, READ), talk, turn(1, PAY), talk])
    assert known.next_calls(TASK, []) == [expected_call(*READ)]
    assert known.next_calls(TASK, [READ]) == [EXPECTED_PAY]
    assert known.next_calls(TASK, [READ, PAY]) == []


def test_calls_are_all_those_of_the_task_s_runs() -> None:
    known = runs(clean_run()["messages"])
    for call in (READ, PAY):
        assert known.make(TASK, expected_call(*call))
        assert not known.make(("bank", "other"), expected_call(*call))
    assert calls_of(clean_run()["messages"]) == [READ, PAY]
    other = {"tool": "other", "arguments": {}}
    assert not known.make(TASK, other)
    known.add(TASK, [*start(), turn(0, ("other", {}))])
    assert known.make(TASK, other)


@pytest.mark.parametrize(
    ("value", "matcher"),
    [
        ("x" * 40, {"match": "equals", "value": "x" * 40}),
        ("x" * 41, {"match": "any"}),
        ("a\nb", {"match": "any"}),
        (["x" * 41], {"match": "equals", "value": ["x" * 41]}),
        (5, {"match": "equals", "value": 5}),
    ],
)
def test_a_long_text_may_be_worded_otherwise(value: Any, matcher: dict[str, Any]) -> None:
    assert expected_call("f", {"x": value}) == {"tool": "f", "arguments": {"x": matcher}}


@pytest.mark.parametrize(
    ("trace", "is_solved"),
    [
        (clean_run(), True),
        (clean_run(solved=False), False),
        (attacked_run(), False),
        (clean_run(raw_metadata={"source_fields": {"utility": True}}), True),
        (clean_run(raw_metadata={"source_fields": {"utility": False, "success": True}}), False),
        (clean_run(raw_metadata={"source_fields": {}}), False),
        (clean_run(completeness="skeleton"), False),
    ],
)
def test_only_a_finished_clean_run_that_did_the_task_is_solved(
    trace: dict[str, Any], is_solved: bool
) -> None:
    assert solved(trace) is is_solved


def test_runs_take_no_memory_however_many_differ_and_are_asked_for() -> None:
    known = CleanRuns()

    def look(number: int) -> None:
        file = ("read_file", {"file": f"{number}.txt"})
        known.add(TASK, [*start(), turn(0, file), result(0, "b"), turn(1, PAY)])
        assert known.next_calls(TASK, [file]) == [EXPECTED_PAY]
        assert known.make((f"suite {number}", "task"), expected_call(*file)) is False

    assert held_for_each(known, look, 400) < 200  # as objects, 2.7 kB
    assert len(known.next_calls(TASK, []) or ()) == 400
    assert known.make(TASK, expected_call("read_file", {"file": "399.txt"}))


def test_what_comes_next_keeps_the_order_of_its_arguments() -> None:
    (pay,) = runs(clean_run()["messages"]).next_calls(TASK, [READ]) or ()
    assert list(pay["arguments"]) == list(PAY[1])
