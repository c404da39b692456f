"""ShareGPT's turns as messages: every spelling of calls and results, and what cannot be read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from cbdata.rejects import Reject
from cbdata.sources.sharegpt import REASONS, openai_messages

CALL = {"name": "weather", "arguments": {"city": "Ulm"}}
TEXT = orjson.dumps(CALL).decode()
MARKED = f"<tool_call>\n{TEXT}\n</tool_call>"


def messages(*turns: tuple[Any, Any], system: Any = None) -> list[dict[str, Any]]:
    rows = [{"from": speaker, "value": value} for speaker, value in turns]
    return openai_messages(rows, system)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("prose", ["", "I look.", "Both at once, of course!"])
def test_calls_of_any_spelling_belong_to_the_assistant_s_turn(count: int, prose: str) -> None:
    calls = [{"function": CALL}] * count
    wanted = {"role": "assistant", "content": prose, "tool_calls": calls}
    listed = orjson.dumps([CALL] * count).decode()
    ways: list[list[tuple[str, str]]] = [
        [("gpt", prose), ("function_call", listed)],
        [("gpt", "\n".join(filter(None, [prose, *[MARKED] * count])))],
    ]
    if not prose:
        ways.append([("tool_call", listed)])
    for way in ways:
        user, turn = messages(("human", "Hi."), *way)
        assert user == {"role": "user", "content": "Hi."}
        assert turn["content"].strip() == prose and {**turn, "content": prose} == wanted


def test_reasoning_before_a_call_is_thinking() -> None:
    (turn,) = messages(("gpt", f"<think>\nHm.\n</think>\n{MARKED}"))
    assert turn["content"][0] == {"type": "thinking", "content": "Hm."}
    assert turn["tool_calls"] == [{"function": CALL}]


@pytest.mark.parametrize(
    ("text", "results"),
    [
        ("12", ["12"]),
        ("<tool_response>\n12\n</tool_response>", ["12"]),
        ("<tool_response>1</tool_response>\n<tool_response>2</tool_response>", ["1", "2"]),
        ("<tool_response>1</tool_response> and <tool_response>2</tool_response>", None),
        ("<tool_response>1", None),
        ("say <tool_response>1</tool_response>", None),
    ],
)
def test_results_are_unwrapped_only_where_nothing_else_is_there(
    text: str, results: list[str] | None
) -> None:
    found = messages(("observation", text))
    assert [each["content"] for each in found] == (results or [text])
    assert {each["role"] for each in found} == {"tool"}


@pytest.mark.parametrize(
    ("turns", "system", "reason"),
    [
        ([("narrator", "x")], None, "unknown_speaker"),
        ([(["gpt"], "x")], None, "unknown_speaker"),
        ([("gpt", None)], None, "turn_not_text"),
        ([("gpt", "x")], 3, "turn_not_text"),
        ([("system", "x")], "y", "two_system_texts"),
        ([("human", "x"), ("system", "y")], None, "two_system_texts"),
        ([("function_call", "weather(Ulm)")], None, "calls_in_text"),
        ([("function_call", "[]")], None, "calls_in_text"),
        ([("function_call", '{"name": "x"}')], None, "calls_in_text"),
        ([("gpt", "<tool_call>{")], None, "calls_in_text"),
        ([("gpt", f"{MARKED}<tool_call>")], None, "calls_in_text"),
        ([("gpt", MARKED.replace("weather", '"'))], None, "calls_in_text"),
    ],
)
def test_what_cannot_be_read_is_a_reject(
    turns: list[tuple[Any, Any]], system: Any, reason: str
) -> None:
    with pytest.raises(Reject) as caught:
        messages(*turns, system=system)
    assert caught.value.reason == reason and reason in REASONS
