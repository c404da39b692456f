"""What is changed for a conversation to fit a template, and how it is led back to the trace."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cbdata.render.fits import FITS, Fitting, fit, short_id

USER = {"role": "user", "content": "question"}
LATER = {"role": "user", "content": "another"}
ANSWER = {"role": "assistant", "content": "answer"}


def call(call_id: str, name: str = "tool") -> dict[str, Any]:
    return {"call_id": call_id, "function": {"name": name, "arguments": {}}}


def calls(*ids: str, content: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": [call(each) for each in ids]}


def result(call_id: str, content: str = "found") -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": call_id, "name": "tool"}


def sources(fitting: Fitting) -> list[list[tuple[int, int, int, tuple[int, ...]]]]:
    assert fitting.fitted is not None
    return [[(s.index, s.start, s.end, s.calls) for s in each.sources] for each in fitting.fitted]


def test_nothing_is_changed_without_a_name_or_a_need() -> None:
    messages = [USER, calls("a", "b", content="text"), result("a"), result("b"), ANSWER]
    assert fit(messages, ()).messages is messages
    plain = [USER, ANSWER]
    for name in FITS:
        fitting = fit(plain, [name])
        assert (fitting.messages, fitting.applied) == (plain, ())


def test_messages_are_not_changed_in_place() -> None:
    messages = [USER, LATER, calls("a", "b", content="text"), result("a"), result("b"), ANSWER]
    before = copy.deepcopy(messages)
    fit(messages, FITS)
    assert messages == before


def test_parallel_calls_become_turns_with_their_own_results() -> None:
    messages = [
        USER,
        calls("a", "b", content="both"),
        result("b", "two"),
        result("a", "one"),
        ANSWER,
    ]
    fitting = fit(messages, ["split_parallel_calls"])
    assert fitting.applied == ("split_parallel_calls",)
    assert fitting.messages == [
        USER,
        calls("a", content="both"),
        result("a", "one"),
        calls("b"),
        result("b", "two"),
        ANSWER,
    ]
    assert sources(fitting)[1:5] == [
        [(1, 0, 4, (0,))],
        [(3, 0, 3, ())],
        [(1, 0, 0, (1,))],
        [(2, 0, 3, ())],
    ]


def test_results_without_a_known_id_go_by_place() -> None:
    messages = [calls("a", "b"), result("x", "one"), result("y", "two"), result("z", "three")]
    contents = [each["content"] for each in fit(messages, ["split_parallel_calls"]).messages]
    assert contents == ["", "one", "", "two", "three"]


def test_text_beside_calls_becomes_a_turn_before_them() -> None:
    messages = [USER, {**calls("a", content="I look"), "thinking": "hm"}, result("a")]
    fitting = fit(messages, ["text_beside_calls"])
    assert fitting.messages == [
        USER,
        {"role": "assistant", "content": "I look", "thinking": "hm"},
        calls("a"),
        result("a"),
    ]
    assert sources(fitting)[1:3] == [[(1, 0, 6, ())], [(1, 0, 0, (0,))]]


def test_tool_results_become_user_turns() -> None:
    fitting = fit([USER, calls("a"), result("a")], ["tool_results_as_user"])
    assert fitting.messages[2] == {"role": "user", "content": "found"}
    assert fitting.fitted is not None
    assert fitting.fitted[2].sources[0].role == "tool"


def test_neighbours_of_one_role_are_joined() -> None:
    fitting = fit([USER, LATER, ANSWER, {**ANSWER, "content": "more"}], ["alternating_roles"])
    assert fitting.messages == [
        {"role": "user", "content": "question\n\nanother"},
        {"role": "assistant", "content": "answer\n\nmore"},
    ]
    assert sources(fitting) == [
        [(0, 0, 8, ()), (1, 10, 17, ())],
        [(2, 0, 6, ()), (3, 8, 12, ())],
    ]


@pytest.mark.parametrize(
    "messages",
    [
        [calls("a"), ANSWER],
        [ANSWER, calls("a", content="more")],
        [ANSWER, {**ANSWER, "thinking": "hm"}],
        [result("a"), result("b")],
        [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}],
        [USER, {**ANSWER, "content": ""}, calls("a"), result("a"), ANSWER],
        [USER, {**ANSWER, "content": "", "thinking": "hm"}, calls("a"), result("a"), ANSWER],
        [USER, {**USER, "content": ""}, LATER],
    ],
)
def test_what_cannot_be_joined_stays(messages: list[dict[str, Any]]) -> None:
    assert fit(messages, ["alternating_roles"]).applied == ()


def test_calls_without_text_are_joined_to_the_answer_before() -> None:
    fitting = fit([USER, ANSWER, calls("a", "b"), result("a"), ANSWER], ["alternating_roles"])
    assert fitting.messages == [USER, calls("a", "b", content="answer"), result("a"), ANSWER]
    assert sources(fitting)[1] == [(1, 0, 6, ()), (2, 6, 6, (0, 1))]


def test_what_was_divided_is_not_joined_again() -> None:
    messages = [USER, calls("a", content="text"), result("a")]
    fitting = fit(messages, ["text_beside_calls", "alternating_roles"])
    assert fitting.applied == ("text_beside_calls",)


def test_fits_work_together_in_their_own_order() -> None:
    messages = [USER, calls("a", "b"), result("a", "one"), result("b", "two")]
    names = ["alternating_roles", "tool_results_as_user"]
    fitting = fit(messages, names)
    assert fitting.applied == ("tool_results_as_user", "alternating_roles")
    assert fitting.messages[-1] == {"role": "user", "content": "one\n\ntwo"}


def test_ids_of_nine_letters_and_digits() -> None:
    assert short_id("abcDEF123") == "abcDEF123"
    made = [short_id(f"call_{number}") for number in range(200)]
    assert all(len(each) == 9 and each.isascii() and each.isalnum() for each in made)
    assert len(set(made)) == 200
    assert short_id("call_0") == made[0]
    fitting = fit([calls("call_0"), result("call_0")], ["nine_character_ids"])
    assert fitting.messages[0]["tool_calls"][0]["call_id"] == made[0]
    assert fitting.messages[1]["tool_call_id"] == made[0]
