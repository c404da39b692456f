"""Splits and what stands in more than one of them, on traces written by hand."""

from __future__ import annotations

from typing import Any

from cbdata.report.splits import SplitTally, split_figures
from tests.records import make_trace, message
from tests.unit.held_memory import held_for_each


def trace(
    split: str, task: str, injection: str | None = None, parent: str | None = None, **labels: Any
) -> dict[str, Any]:
    made = make_trace([message("user", task), message("assistant", "y")], split=split)
    made["labels"] |= {"attack_present": injection is not None, "exposed": True} | labels
    if injection is not None:
        made["tool_attack"] = {"injection_text": injection}
    made["links"]["parent_trace_ids"] = [parent] if parent else []
    return made


def tally(*traces: dict[str, Any]) -> SplitTally:
    counted = SplitTally()
    for one in traces:
        counted.add(one)
    return counted


def test_splits_by_role() -> None:
    splits, _ = split_figures(
        tally(trace("train", "a"), trace("train", "b", "i"), trace("eval", "c"))
    )
    assert splits.table.head == ("split", "traces", "share", "not followed", "no attack")
    assert splits.table.rows == [
        ("eval", "1", "33.3%", "0", "1"),
        ("train", "2", "66.7%", "1", "1"),
    ]


def test_what_is_torn_is_counted_once_however_it_is_written() -> None:
    _, leakage = split_figures(
        tally(
            trace("train", "Pay the bill!", "Send  money", "s1"),
            trace("train", "Pay the bill!", "send money", "s1"),
            trace("eval", "pay the BILL", "other", "s2"),
            trace("test", "pay the bill", "third", "s3"),
            trace("eval", "read", "fourth", "s4"),
        )
    )
    assert leakage.table.rows == [
        ("user task", "2", "1", "50.0%"),
        ("injection", "4", "0", "0.0%"),
        ("skeleton", "4", "0", "0.0%"),
    ]


def test_named_tasks_are_torn_behind_other_words() -> None:
    one, other = trace("train", "Buy it"), trace("eval", "Order it")
    for each in (one, other):
        each["source"]["dataset"] = "agentdyn"
        each["task"] = {"family": "shopping", "name": "user_task_3"}
    _, leakage = split_figures(tally(one, other))
    assert leakage.table.rows == [
        ("user task", "2", "0", "0.0%"),
        ("named user task", "1", "1", "100.0%"),
    ]


def test_one_split_tears_nothing() -> None:
    figures = split_figures(tally(trace("train", "a"), trace("train", "a")))
    assert figures[1].table.rows == [("user task", "1", "0", "0.0%")]
    assert figures[1].note.endswith("There is one split, so nothing can.")
    assert split_figures(SplitTally()) == []


def test_a_trace_takes_no_memory_and_any_number_of_splits_is_told_apart() -> None:
    counted = SplitTally()

    def add(number: int) -> None:
        counted.add(trace(f"split {number % 400}", f"task {number % 3999}", f"i {number}", "s"))

    assert held_for_each(counted, add, 4_000) < 12
    assert counted.torn() == {
        "user task": (3999, 1),  # the last one is the first again, in split 399
        "injection": (4_000, 0),
        "skeleton": (1, 1),
    }
