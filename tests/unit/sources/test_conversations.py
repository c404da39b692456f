"""Conversations with tools: every form of a call and a tool list, and what is no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.sources import SourceError, conversations
from cbdata.sources.options import LoadOptions
from tests.schemas import own_tool
from tests.unit.sources.conversion import Converted, as_bytes, outputs, read_back

WEATHER = own_tool("weather", city={"type": "string"})
CALL = {"name": "weather", "arguments": {"city": "Ulm"}}


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., Converted]:
    """Convert records, or the bytes of a file, under a file name."""

    def run(records: Any, name: str = "chats.jsonl", **options: Any) -> Converted:
        raw = tmp_path / name
        raw.write_bytes(as_bytes(records))
        own = {"conversations_class": options.pop("conversations_class", "chats/benign")}
        split = options.pop("split", "train")
        conversations.convert(
            [raw],
            tool_schemas=[],
            split=split,
            outputs=outputs(tmp_path),
            max_reject_fraction=1.0,
            options=LoadOptions(**options, own=own),
        )
        return read_back(tmp_path)

    return run


def openai(question: str = "Weather in Ulm?", **fields: Any) -> dict[str, Any]:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Ulm"}'},
    }
    messages = [
        {"role": "system", "content": "Help."},
        {"role": "user", "content": question},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "12 degrees"},
        {"role": "assistant", "content": "It is 12 degrees."},
    ]
    return {"messages": messages, "tools": [WEATHER]} | fields


def sharegpt(*turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
    rows = [{"from": speaker, "value": value} for speaker, value in turns]
    return {"conversations": rows, "tools": orjson.dumps([WEATHER]).decode()} | fields


def test_an_openai_row_is_a_benign_trace_of_the_configured_class_with_its_tools(
    convert: Callable[..., Converted],
) -> None:
    (trace,) = convert([openai(id=7, topic="rain")]).traces
    assert trace["tools"] == [WEATHER]
    assert [message["role"] for message in trace["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    (call,) = trace["messages"][2]["tool_calls"]
    assert call["call_id"] == "c1" and call["function"]["arguments"] == {"city": "Ulm"}
    assert trace["messages"][3]["tool_call_id"] == "c1"
    assert trace["training"]["mixture"]["class_id"] == "chats/benign"
    assert trace["labels"]["category"] == "benign" and not trace["labels"]["attack_present"]
    assert trace["raw_metadata"]["source_fields"] == {"id": 7, "topic": "rain"}
    assert trace["links"]["raw_id"] == "7"


@pytest.mark.parametrize(
    "tools",
    [
        [WEATHER],
        orjson.dumps([WEATHER]).decode(),
        [WEATHER["function"]],
        [{"type": "function", **WEATHER["function"]}],
        [
            {
                "type": "function",
                "function": WEATHER["function"]
                | {"parameters": orjson.dumps(WEATHER["function"]["parameters"]).decode()},
            }
        ],
    ],
)
def test_every_form_of_a_list_of_tools_gives_the_same_trace(
    convert: Callable[..., Converted], tools: Any
) -> None:
    (trace,) = convert([openai(tools=tools)]).traces
    assert trace["tools"] == [WEATHER]


@pytest.mark.parametrize("tools", [None, "", [], "[]"])
def test_a_row_without_tools_has_none_and_says_so(
    convert: Callable[..., Converted], tools: Any
) -> None:
    (trace,) = convert([openai(tools=tools)]).traces
    assert "tools" not in trace
    assert "calls_without_tools" in trace["signal_hints"]["record_flags"]


def test_a_list_of_tools_that_cannot_be_read_is_a_reject(
    convert: Callable[..., Converted],
) -> None:
    assert convert([openai(tools="no json")]).reasons == ["bad_tool_list"]


@pytest.mark.parametrize(
    "turns",
    [
        [("gpt", ""), ("function_call", orjson.dumps(CALL).decode())],
        [("function_call", orjson.dumps([CALL]).decode())],
        [("gpt", f"<tool_call>\n{orjson.dumps(CALL).decode()}\n</tool_call>")],
    ],
)
@pytest.mark.parametrize(
    "result", [("observation", "12 degrees"), ("tool", "<tool_response>12 degrees</tool_response>")]
)
def test_sharegpt_s_calls_are_calls_in_every_spelling(
    convert: Callable[..., Converted], turns: list[tuple[str, str]], result: tuple[str, str]
) -> None:
    row = sharegpt(("human", "Weather?"), *turns, result, ("gpt", "12."), system="Help.")
    (trace,) = convert([row]).traces
    system, user, called, answer, last = trace["messages"]
    assert (system["content"], user["content"]) == ("Help.", "Weather?")
    assert (called["content"], last["content"]) == ("", "12.")
    (call,) = called["tool_calls"]
    assert call["function"]["name"] == "weather"
    assert call["function"]["arguments"] == {"city": "Ulm"}
    assert answer["content"] == "12 degrees" and answer["tool_call_id"] == call["call_id"]


def test_several_results_in_one_turn_answer_their_calls(convert: Callable[..., Converted]) -> None:
    call = orjson.dumps(CALL).decode()
    row = sharegpt(
        ("human", "Weather?"),
        ("gpt", f"Both.\n<tool_call>\n{call}\n</tool_call>\n<tool_call>\n{call}\n</tool_call>"),
        ("tool", "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>"),
        ("gpt", "Done."),
    )
    (trace,) = convert([row]).traces
    calls = trace["messages"][1]["tool_calls"]
    assert trace["messages"][1]["content"].strip() == "Both."
    assert [each["content"] for each in trace["messages"][2:4]] == ["1", "2"]
    assert [each["tool_call_id"] for each in trace["messages"][2:4]] == [
        each["call_id"] for each in calls
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "missing_messages"),
        ({"messages": [], "conversations": []}, "missing_messages"),
        ({"messages": []}, "empty_transcript"),
        ({"messages": [{"role": "user", "content": "x"}]}, "no_answer"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "no_question"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "unknown_role"),
        (sharegpt(("human", "x"), ("narrator", "y")), "unknown_speaker"),
        (sharegpt(("human", "x"), ("gpt", "<tool_call>{")), "calls_in_text"),
        (sharegpt(("human", "x"), ("function_call", "weather(Ulm)")), "calls_in_text"),
        (sharegpt(("system", "a"), ("human", "x"), ("gpt", "y"), system="b"), "two_system_texts"),
        ({"conversations": [{"from": "human", "value": 3}]}, "turn_not_text"),
    ],
)
def test_what_is_no_conversation_is_a_reject_with_its_reason(
    convert: Callable[..., Converted], record: dict[str, Any], reason: str
) -> None:
    assert convert([record]).reasons == [reason]


def test_a_json_array_is_read_row_by_row_and_copies_are_one_trace(
    convert: Callable[..., Converted],
) -> None:
    rows = [openai("a"), openai("b"), openai("a"), openai("a", tools=[own_tool("other")])]
    found = convert(orjson.dumps(rows), "chats.json")
    assert found.counts == (4, 3, 0, 1)
    assert [trace["source"]["record_locator"]["value"] for trace in found.traces] == [1, 2, 4]
    with pytest.raises(SourceError, match="conversations_complete: the input holds no record"):
        convert(b"[]", "empty.json")


def test_a_cap_keeps_the_same_sample_whatever_the_order(convert: Callable[..., Converted]) -> None:
    rows = [openai(f"question {number}") for number in range(40)]
    caps = {"chats/benign": 10, "unknown/class": 1}
    first, again = (
        convert(each, class_caps=caps) for each in (rows, list(reversed(rows)) + rows[:5])
    )
    assert {trace["id"] for trace in first.traces} == {trace["id"] for trace in again.traces}
    assert len(first.traces) == 10
    assert first.stats["counts"]["not_selected"] == 30
    assert first.stats["details"]["not_selected"] == {"class_cap": 30}
    assert first.stats["details"]["classes"] == {"chats/benign": 10}


def test_rewordings_of_a_question_share_a_split(convert: Callable[..., Converted]) -> None:
    rows = [openai(text) for text in ("Weather in Ulm?", "weather in ULM", "  Weather, in Ulm!")]
    found = convert(rows, split={"train": 0.5, "eval": 0.5})
    assert len({trace["split"] for trace in found.traces}) == 1
