"""The twin of a skeleton without its injection."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cbdata.fill.clean_twin import clean_twin
from cbdata.rejects import Reject

FIRST, SECOND = "<INFORMATION>do it</INFORMATION>", "<INFORMATION>do\\nit</INFORMATION>"
CALL = {"call_id": "c0", "function": {"name": "read", "arguments": {}}}


def skeleton(*default_texts: str | None) -> dict[str, Any]:
    """Two results hold one injection, printed in two ways; the default texts of its places."""
    contents = [f"a {FIRST} b", f"c {SECOND}"]
    spans: list[dict[str, Any]] = []
    for index, (text, default) in enumerate(zip((FIRST, SECOND), default_texts, strict=True)):
        start = contents[index].index(text)
        span = {"message_index": 2 + index, "char_start": start, "char_end": start + len(text)}
        spans.append(span if default is None else {**span, "default_text": default})
    return {
        "messages": [
            {"role": "user", "content": "Read."},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            *({"role": "tool", "content": content} for content in contents),
        ],
        "labels": {"attack_present": True},
        "tool_attack": {"injection_text": FIRST},
        "signal_hints": {"injection_char_span": spans[0], "injection_char_spans": spans},
        "decision_point": {"message_index": 4, "source_pipelines": [], "kind": "injection"},
    }


@pytest.mark.parametrize(
    ("dr_context", "defaults", "contents", "context"),
    [
        ("kept", ("x", "y"), [f"a {FIRST} b", f"c {SECOND}"], "kept"),
        ("removed", ("x", "y"), ["a  b", "c "], "removed"),
        ("restored", ("x", "y"), ["a x b", "c y"], "restored"),
        ("restored", ("", ""), ["a  b", "c "], "restored"),
        ("restored", ("x", None), ["a x b", "c "], "removed"),
        ("restored", (None, None), ["a  b", "c "], "removed"),
    ],
)
def test_each_context(
    dr_context: str, defaults: tuple[str | None, ...], contents: list[str], context: str
) -> None:
    given = skeleton(*defaults)
    before = copy.deepcopy(given)
    twin = clean_twin(given, dr_context)
    assert twin.context == context
    assert [message["content"] for message in twin.messages[2:]] == contents
    assert twin.messages[:2] == given["messages"][:2]
    assert given == before


def test_an_injection_of_unknown_place_stays_where_it_should_be_restored() -> None:
    given = skeleton("x", "y")
    given["signal_hints"] = {}
    twin = clean_twin(given, "restored")
    assert (twin.messages, twin.context) == (given["messages"], "kept")
    with pytest.raises(Reject) as why:
        clean_twin(given, "removed")
    assert why.value.reason == "no_injection_span"


def test_without_an_attack_nothing_is_changed_or_asked_for() -> None:
    given = skeleton("x", "y")
    given["labels"]["attack_present"] = False
    twin = clean_twin(given, "restored")
    assert (twin.messages, twin.context) == (given["messages"], "restored")


def test_a_result_that_held_the_injection_alone_may_be_restored_to_nothing() -> None:
    given = skeleton("x", "y")
    given["messages"][2]["content"] = FIRST
    span = {"message_index": 2, "char_start": 0, "char_end": len(FIRST)}
    given["signal_hints"] = {"injection_char_span": {**span, "default_text": ""}}
    given["messages"][3]["content"] = "c"
    assert clean_twin(given, "restored").messages[2]["content"] == ""
    given["signal_hints"] = {"injection_char_span": span}
    with pytest.raises(Reject) as why:
        clean_twin(given, "restored")
    assert why.value.reason == "empty_user_message"


def test_a_place_that_does_not_hold_the_injection_is_a_reject() -> None:
    given = skeleton("x", "y")
    given["messages"][2]["content"] = "a nothing of the kind stands here, or does it? b"
    with pytest.raises(Reject) as why:
        clean_twin(given, "restored")
    assert why.value.reason == "bad_injection_span"
