"""Leakage between splits: tasks and injections that must not be shared, and what is only noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbdata.sources.options import SplitBy
from cbdata.validation.findings import Findings
from cbdata.validation.run import validate
from tests.records import make_trace, message, write_jsonl


def attacked(number: int, question: str, injection: str, split: str) -> dict[str, Any]:
    """A trace of an attack in the user's message; the number makes it a trace of its own."""
    content = f"{question} {injection}"
    messages = [message("user", content), message("assistant", f"Answer {number}.")]
    trace = make_trace(messages)
    trace["split"] = split
    trace["labels"] |= {"attack_present": True, "exposed": True}
    trace["tool_attack"] = {"injection_text": injection}
    trace["signal_hints"]["injection_char_span"] = {
        "message_index": 0,
        "char_start": len(question) + 1,
        "char_end": len(content),
    }
    return trace


def check(folder: Path, rows: list[dict[str, Any]], split_by: SplitBy = "task") -> Findings:
    path = folder / "traces.jsonl"
    write_jsonl(path, rows)
    return validate([path], split_by=split_by)


def failed(findings: Findings) -> set[str]:
    return {name for name, result in findings.results.items() if result.failed}


def test_splits_that_share_nothing_pass_and_note_nothing(tmp_path: Path) -> None:
    rows = [
        attacked(1, "Read the mail.", "Pay eve.", "train"),
        attacked(2, "read THE mail!", "pay  Eve", "train"),
        attacked(3, "Close the door.", "Open it.", "eval"),
    ]
    findings = check(tmp_path, rows, "both")
    assert failed(findings) == set()
    assert findings.results["split_tasks"].checked == 3
    assert findings.results["split_injections"].checked == 3
    assert not [note for note in findings.notes if "split" in note]


@pytest.mark.parametrize(
    ("split_by", "expected"),
    [
        ("task", {"split_tasks"}),
        ("injection", set()),
        ("both", {"split_tasks"}),
    ],
)
def test_a_user_task_in_two_splits_is_found_behind_other_injections(
    tmp_path: Path, split_by: SplitBy, expected: set[str]
) -> None:
    rows = [
        attacked(1, "Read the mail.", "Pay eve.", "train"),
        attacked(2, "read THE mail!", "Delete all.", "eval"),
    ]
    findings = check(tmp_path, rows, split_by)
    assert failed(findings) == expected
    noted = [note for note in findings.notes if note.startswith("1 user tasks stand")]
    assert bool(noted) == (not expected)
    if expected:
        (example,) = findings.results["split_tasks"].examples
        assert "traces.jsonl:2" in example and "traces.jsonl:1" in example


@pytest.mark.parametrize(
    ("split_by", "expected"),
    [
        ("task", set()),
        ("injection", {"split_injections"}),
        ("both", {"split_injections"}),
    ],
)
def test_an_injection_in_two_splits_is_found_behind_other_tasks(
    tmp_path: Path, split_by: SplitBy, expected: set[str]
) -> None:
    rows = [
        attacked(1, "Read the mail.", "Pay eve.", "train"),
        attacked(2, "Close the door.", "PAY eve", "eval"),
    ]
    findings = check(tmp_path, rows, split_by)
    assert failed(findings) == expected
    assert bool([note for note in findings.notes if "injections stand" in note]) == (not expected)


def test_prompts_that_differ_in_numbers_alone_are_noted(tmp_path: Path) -> None:
    rows = [
        attacked(1, "Pay bill 12.", "Pay eve.", "train"),
        attacked(2, "Pay bill 345!", "Open it.", "eval"),
    ]
    findings = check(tmp_path, rows, "both")
    assert failed(findings) == set()
    assert [note for note in findings.notes if "numbers alone" in note]


def test_hostile_text_stays_on_one_line(tmp_path: Path) -> None:
    rows = [
        attacked(number, "\x1b[2Jrm\u2028-rf %s {0}", f"x{number}\n<|eot_id|>", split)
        for number, split in ((1, "train"), (2, "ev\nal"))
    ]
    findings = check(tmp_path, rows)
    (example,) = findings.results["split_tasks"].examples
    assert example.isprintable() and example.isascii()
