"""Messages of every AgentDojo shape, and the ways in which they can be broken."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.sources.agentdojo_messages import normalise
from tests.unit.sources.examples import assistant, call, result

SYSTEM = {"role": "system", "content": "s"}
USER = {"role": "user", "content": "u"}


def calls(talk) -> list[tuple[str, str]]:
    return [
        (call["call_id"], call["function"]["name"])
        for message in talk.messages
        for call in message.get("tool_calls", [])
    ]


def test_null_content_and_null_or_empty_calls() -> None:
    talk = normalise(
        [SYSTEM, USER, assistant(None), {"role": "assistant", "content": "a", "tool_calls": []}]
    )
    assert talk.messages == [
        SYSTEM,
        USER,
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "a"},
    ]
    assert talk.answered and talk.flags == {"empty_answer"}


def test_a_call_and_its_result() -> None:
    talk = normalise([assistant(None, call(path="x")), result("text")])
    assert talk.messages == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"call_id": "c1", "function": {"name": "read_file", "arguments": {"path": "x"}}}
            ],
        },
        {"role": "tool", "content": "text", "tool_call_id": "c1", "name": "read_file"},
    ]
    assert talk.flags == set() and talk.called == {"read_file"}


def test_run_file_shapes() -> None:
    """Blocks are joined by newlines as ``get_text_content_as_str`` joins them; thinking is kept
    apart.
    """
    texts = [{"type": "text", "content": content} for content in ("a", None, "b")]
    blocks = [{"type": "thinking", "content": "hm", "id": None}, *texts]
    written = {"function": "f", "args": {"x": 1}, "id": "i", "placeholder_args": None}
    talk = normalise(
        [
            {"role": "system", "content": [{"type": "text", "content": "s"}]},
            {"role": "assistant", "content": blocks, "tool_calls": [written]},
            {
                "role": "tool",
                "content": [{"type": "text", "content": "r"}],
                "tool_call_id": "i",
                "tool_call": written,
                "error": None,
            },
            {
                "role": "assistant",
                "content": [{"type": "redacted_thinking", "content": "zzz"}],
                "tool_calls": None,
            },
        ]
    )
    assert talk.messages == [
        {"role": "system", "content": "s"},
        {
            "role": "assistant",
            "content": "a\nb",
            "thinking": "hm",
            "tool_calls": [{"call_id": "i", "function": {"name": "f", "arguments": {"x": 1}}}],
        },
        {"role": "tool", "content": "r", "tool_call_id": "i", "name": "f"},
        {"role": "assistant", "content": ""},
    ]
    assert talk.flags == {"redacted_thinking_left_out", "unknown_message_field", "empty_answer"}
    assert talk.metadata == [
        {"message_index": 3, "fields": {"content": [{"block": 0, "data": "zzz"}]}}
    ]


@pytest.mark.parametrize("missing", [None, ""])
def test_missing_call_ids_are_made_up_and_results_matched_by_position(missing: str | None) -> None:
    first = [
        assistant(None, call("f", missing), call("g", missing)),
        result("1", missing),
        result("2", missing),
    ]
    talk = normalise([*first, assistant(None, call("f", missing)), result("3", missing)])
    assert calls(talk) == [("call_0_0", "f"), ("call_0_1", "g"), ("call_3_0", "f")]
    assert [
        (m["tool_call_id"], m["name"], m["content"]) for m in talk.messages if m["role"] == "tool"
    ] == [
        ("call_0_0", "f", "1"),
        ("call_0_1", "g", "2"),
        ("call_3_0", "f", "3"),
    ]
    assert talk.flags == {"call_id_missing", "parallel_calls"}


def test_repeated_ids_within_a_turn_and_across_turns() -> None:
    talk = normalise(
        [
            assistant(None, call("f"), call("g")),
            result("1"),
            result("2"),
            assistant(None, call("h")),
            result("3"),
        ]
    )
    assert calls(talk) == [("c1", "f"), ("c1_0_1", "g"), ("c1_3_0", "h")]
    assert [(m["tool_call_id"], m["content"]) for m in talk.messages if m["role"] == "tool"] == [
        ("c1", "1"),
        ("c1_0_1", "2"),
        ("c1_3_0", "3"),
    ]
    assert talk.flags == {"call_id_repeated", "parallel_calls"}


def test_a_made_up_id_does_not_take_one_that_the_source_uses() -> None:
    talk = normalise(
        [
            assistant(None, call("f", "c1_1_0")),
            assistant(None, call("g", "c1_1_0"), call("h", "c1"), call("i", "c1")),
        ]
    )
    ids = [call_id for call_id, _ in calls(talk)]
    assert len(set(ids)) == 4


def test_results_in_another_order_are_matched_by_id() -> None:
    talk = normalise(
        [
            assistant(None, call("f", "a"), call("g", "b")),
            result("for b", "b"),
            result("for a", "a"),
        ]
    )
    assert [(m["tool_call_id"], m["name"]) for m in talk.messages[1:]] == [("b", "g"), ("a", "f")]


def test_a_result_with_a_foreign_id_goes_by_position_and_is_flagged() -> None:
    talk = normalise(
        [assistant(None, call("f", "a"), call("g", "b")), result("1", "zzz"), result("2", "b")]
    )
    assert [(m["tool_call_id"], m["name"]) for m in talk.messages[1:]] == [("a", "f"), ("b", "g")]
    assert "result_matched_by_position" in talk.flags


def test_results_without_ids_go_to_the_calls_that_they_name() -> None:
    one, two = call("f", None, x=1), call("f", None, x=2)
    talk = normalise(
        [
            assistant(None, one, two),
            result("2", None, tool_call=two),
            result("1", None, tool_call=one),
        ]
    )
    calls = talk.messages[0]["tool_calls"]
    assert [m["tool_call_id"] for m in talk.messages[1:]] == [
        calls[1]["call_id"],
        calls[0]["call_id"],
    ]


def test_a_result_that_names_another_call_than_its_id_is_told() -> None:
    other = {"function": "g", "args": {"x": 7}, "id": "a"}
    talk = normalise([assistant(None, call("f", "a")), result("r", "a", tool_call=other)])
    assert talk.messages[1]["name"] == "f" and "result_call_differs" in talk.flags
    assert talk.metadata == [{"message_index": 1, "fields": {"tool_call": other}}]


def test_calls_as_langchain_writes_them() -> None:
    bare = {"name": "f", "args": {"x": 1}, "id": "a", "type": "tool_call"}
    talk = normalise([assistant(None, bare), result("r", "a")])
    assert talk.messages[0]["tool_calls"] == [
        {"call_id": "a", "function": {"name": "f", "arguments": {"x": 1}}}
    ]
    assert talk.flags == set()


@pytest.mark.parametrize("content", [None, "", [], [{"type": "text", "text": None}]])
def test_a_turn_without_a_word_is_flagged(content: Any) -> None:
    assert normalise([USER, assistant(content)]).flags == {"empty_answer"}
    assert normalise([USER, assistant(content, call()), result("r")]).flags == set()


@pytest.mark.parametrize(
    ("fields", "loss"),
    [({"weight": 0}, 0.0), ({"loss": 0.5}, 0.5), ({"loss": 1, "weight": True}, 1.0), ({}, None)],
)
def test_the_weight_of_a_turn_has_its_place(fields: dict[str, Any], loss: float | None) -> None:
    talk = normalise([USER, assistant("x") | fields])
    assert talk.messages[1].get("loss") == loss and talk.metadata == []


def test_calls_without_results_and_results_without_calls() -> None:
    talk = normalise(
        [
            assistant(None, call("f", "a")),
            assistant("x"),
            result("late", "a", name="f"),
            assistant(None, call("g", "b")),
        ]
    )
    assert talk.messages[2] == {"role": "tool", "content": "late"}
    assert talk.flags == {"call_without_result", "result_without_call", "unknown_message_field"}
    assert talk.metadata[0]["fields"].keys() == {"tool_call_id", "tool_call"}


@pytest.mark.parametrize(
    ("content", "error", "text", "flags"),
    [
        ("", "ValueError: no", "ValueError: no", set()),
        (None, "ValueError: no", "ValueError: no", set()),
        ("<<>>", "ValueError: no", "ValueError: no", {"content_replaced_by_error"}),
        ("same", "same", "same", set()),
        ("ok", "", "ok", set()),
        ("ok", None, "ok", set()),
    ],
)
def test_the_error_is_the_text_of_the_result(
    content: Any, error: Any, text: str, flags: set[str]
) -> None:
    """As every model adapter of AgentDojo has it: ``message["error"] or content``."""
    talk = normalise([assistant(None, call()), result(content, error=error)])
    assert talk.messages[1]["content"] == text and talk.flags == flags


def test_turns_after_the_answer_are_kept() -> None:
    talk = normalise([SYSTEM, USER, assistant("a"), USER, assistant("b")])
    assert [message["role"] for message in talk.messages] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
    ]


def test_arguments_as_text_are_parsed_and_kept() -> None:
    talk = normalise(
        [
            assistant(None, {"id": "a", "function": {"name": "f", "arguments": '{"x": 1.50}'}}),
            result("r", "a"),
        ]
    )
    assert talk.messages[0]["tool_calls"][0]["function"] == {
        "name": "f",
        "arguments": {"x": 1.5},
        "arguments_json": '{"x": 1.50}',
    }


def test_null_arguments_are_empty_and_flagged() -> None:
    talk = normalise(
        [assistant(None, {"id": "a", "function": "f", "args": None}), result("r", "a")]
    )
    assert talk.messages[0]["tool_calls"][0]["function"]["arguments"] == {} and talk.flags == {
        "call_without_arguments"
    }


@pytest.mark.parametrize("written", ["null", " null\n"])
def test_null_as_text_is_no_arguments_and_kept(written: str) -> None:
    """Clients that hold None for a call without arguments write it so."""
    call = {"id": "a", "function": {"name": "f", "arguments": written}}
    talk = normalise([assistant(None, call), result("r", "a")])
    assert talk.messages[0]["tool_calls"][0]["function"] == {
        "name": "f",
        "arguments": {},
        "arguments_json": written,
    }
    assert talk.flags == {"call_without_arguments"}


def test_fields_that_are_not_known_are_flagged() -> None:
    assert normalise([{"role": "user", "content": "u", "weight": 1}]).flags == {
        "unknown_message_field"
    }
    assert normalise([{"role": "user", "tool_calls": None}]).messages == [
        {"role": "user", "content": ""}
    ]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("text", "message_not_an_object"),
        ({"role": "model", "content": "x"}, "unknown_role"),
        ({"role": "Assistant", "content": "x"}, "unknown_role"),
        ({"role": None, "content": "x"}, "unknown_role"),
        ({"role": ["user"], "content": "x"}, "unknown_role"),
        ({"content": "x"}, "unknown_role"),
        ({"role": "user", "content": 5}, "content_not_text"),
        ({"role": "user", "content": {"text": "x"}}, "content_not_text"),
        ({"role": "user", "content": ["x"]}, "content_not_text"),
        ({"role": "user", "content": [{"type": "text", "content": 5}]}, "content_not_text"),
        ({"role": "user", "content": [{"type": "image", "content": "x"}]}, "unknown_content_block"),
        ({"role": "user", "content": [{"content": "x"}]}, "unknown_content_block"),
        ({"role": "user", "content": "x", "tool_calls": [call()]}, "misplaced_tool_calls"),
        ({"role": "assistant", "content": "", "tool_calls": {"a": 1}}, "bad_tool_call"),
        ({"role": "assistant", "content": "", "tool_calls": ["f"]}, "bad_tool_call"),
        ({"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]}, "bad_tool_call"),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": 7, "function": "f", "args": {}}],
            },
            "bad_tool_call",
        ),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "a", "function": {"name": 3, "arguments": {}}}],
            },
            "bad_tool_call",
        ),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "a", "function": "f", "args": [1]}],
            },
            "bad_arguments",
        ),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}],
            },
            "bad_arguments",
        ),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[]"}}],
            },
            "bad_arguments",
        ),
        ({"role": "tool", "content": "x", "error": {"a": 1}}, "bad_tool_result"),
        ({"role": "tool", "content": "x", "tool_call_id": 4}, "bad_tool_result"),
    ],
)
def test_what_cannot_be_read_is_rejected_with_its_place(message: Any, reason: str) -> None:
    with pytest.raises(Reject, match=r"messages\[1\]") as caught:
        normalise([USER, message])
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "form", [{"args": {"a": 2}}, {"arguments": {"a": 2}}, {"arguments": '{"a": 2}'}]
)
def test_a_result_belongs_to_the_call_whose_arguments_it_names(form: dict[str, Any]) -> None:
    calls = [{"function": "look", "args": {"a": number}} for number in (1, 2)]
    talk = normalise(
        [
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "content": "second", "tool_call": {"name": "look", **form}},
            {"role": "tool", "content": "first"},
        ]
    )
    made = talk.messages[1]["tool_calls"]
    assert [message["tool_call_id"] for message in talk.messages[2:]] == [
        made[1]["call_id"],
        made[0]["call_id"],
    ]


@pytest.mark.parametrize("key", ["loss", "weight", "train", "training"])
def test_a_turn_that_is_not_to_be_trained(key: str) -> None:
    talk = normalise(
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "no", key: False}]
    )
    assert talk.messages[1]["loss"] == 0.0
