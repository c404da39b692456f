"""Calls and patterns of calls, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.decision_points.matching import PatternError, call_matches, check_pattern, matches_any

IBAN = "US133000000121212121212"
TO_IBAN = {"tool": "send_money", "arguments": {"recipient": {"match": "equals", "value": IBAN}}}


def pattern(match: str, *value: Any) -> dict[str, Any]:
    matcher = {"match": match} | ({"value": value[0]} if value else {})
    return {"tool": "f", "arguments": {"x": matcher}}


@pytest.mark.parametrize(
    ("tool", "arguments", "matches"),
    [
        ("send_money", {"recipient": IBAN, "amount": 5}, True),
        ("send_money", {"recipient": f" {IBAN}\n"}, True),
        ("send_money", {"recipient": "GB29NWBK60161331926819", "subject": IBAN}, False),
        ("send_money", {"amount": 5}, False),
        ("send_money", {"recipient": None}, False),
        ("send_money", {"recipient": [IBAN]}, False),
        ("schedule_transaction", {"recipient": IBAN}, False),
    ],
)
def test_the_tool_and_every_listed_argument_count(
    tool: str, arguments: dict[str, Any], matches: bool
) -> None:
    assert call_matches(TO_IBAN, tool, arguments) is matches
    assert matches_any([pattern("any"), TO_IBAN], tool, arguments) is matches


@pytest.mark.parametrize(
    ("one", "actual", "matches"),
    [
        (pattern("equals", "13"), 13, True),
        (pattern("equals", 13), "13", True),
        (pattern("equals", 10), 10.0, True),
        (pattern("equals", 1), True, False),
        (pattern("equals", "Alice"), "alice", False),
        (pattern("equals", ["a", 1]), ["a", 1.0], True),
        (pattern("equals", ["a"]), "a", False),
        (pattern("equals", {"a": 1}), {"a": "1"}, True),
        (pattern("equals", None), None, True),
        (pattern("contains", "www.site.com"), "Look: http://WWW.site.com/x", True),
        (pattern("contains", "b@c.de"), ["a@c.de", "b@c.de"], True),
        (pattern("contains", "b@c.de"), ["ab@c.def"], True),
        (pattern("contains", "b@c.de"), [], False),
        (pattern("contains", "13"), 2013, True),
        (pattern("one_of", ["a", "b"]), "b", True),
        (pattern("one_of", ["a", "b"]), "c", False),
        (pattern("one_of", []), "c", False),
        (pattern("regex", r"^2024-05-13"), "2024-05-13 10:00", True),
        (pattern("regex", r"^2024-05-13"), "on 2024-05-13", False),
        (pattern("any"), "", True),
        (pattern("any"), None, True),
    ],
)
def test_each_matcher(one: dict[str, Any], actual: Any, matches: bool) -> None:
    assert call_matches(one, "f", {"x": actual}) is matches


def test_an_argument_that_is_not_there_matches_nothing() -> None:
    assert not call_matches(pattern("any"), "f", {})
    assert call_matches({"tool": "f", "arguments": {}}, "f", {"x": 1})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_whatever_a_model_writes_is_equal_to_itself_and_never_an_error(value: Any) -> None:
    assert call_matches(pattern("equals", value), "f", {"x": value})
    for one in (pattern("contains", "a"), pattern("regex", "a"), pattern("one_of", [1, "a"])):
        assert call_matches(one, "f", {"x": value}) in (True, False)


@pytest.mark.parametrize(
    ("given_pattern", "says"),
    [
        ([], "expected {tool, arguments}"),
        ({"tool": "f"}, "expected {tool, arguments}"),
        ({"tool": "", "arguments": {}}, "/tool"),
        ({"tool": "f", "arguments": []}, "/arguments"),
        (pattern("like", "x"), "match one of"),
        (pattern("equals"), "needs a value"),
        (pattern("any", 1), "needs no value"),
        (pattern("one_of", "ab"), "needs a list"),
        (pattern("contains", ""), "needs text"),
        (pattern("regex", "("), "not a regular expression"),
        ({"tool": "f", "arguments": {"x": {"match": "any", "more": 1}}}, "x"),
    ],
)
def test_a_pattern_that_is_none_is_told_with_its_place(given_pattern: Any, says: str) -> None:
    with pytest.raises(PatternError, match="goal/0") as error:
        check_pattern(given_pattern, "goal/0")
    assert says in str(error.value)


@pytest.mark.parametrize("match", ["equals", "contains", "regex"])
def test_a_good_pattern_is_given_back(match: str) -> None:
    one = pattern(match, "x")
    assert check_pattern(one, "goal/0") is one
