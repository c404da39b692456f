"""Every part of a message reaches its place in the trace, or the record is rejected."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.rejects import Reject
from cbdata.sources.agentdojo_messages import Transcript, normalise
from tests.unit.sources.examples import assistant, call, result

USER = {"role": "user", "content": "q"}


def turn(**fields: Any) -> dict[str, Any]:
    """The trace's message of an assistant turn with these fields."""
    return normalise([USER, {"role": "assistant", **fields}]).messages[1]


def reason(**fields: Any) -> str:
    with pytest.raises(Reject, match=r"messages\[1\]") as caught:
        normalise([USER, {"role": "assistant", **fields}])
    return caught.value.reason


def text(said: str) -> dict[str, Any]:
    return {"role": "assistant", "content": said}


def thought(thinking: str, said: str = "") -> dict[str, Any]:
    return {**text(said), "thinking": thinking}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        # Anthropic's own blocks, and AgentDojo's
        (
            {"content": [{"type": "thinking", "thinking": "plan", "signature": "x"}]},
            thought("plan"),
        ),
        ({"content": [{"type": "thinking", "content": "plan"}]}, thought("plan")),
        (
            {"content": [{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "b"}]},
            thought("a", "b"),
        ),
        ({"content": [{"type": "reasoning", "text": "plan"}]}, thought("plan")),
        # text in other places
        ({"content": None, "text": "fine"}, text("fine")),
        ({"text": "fine"}, text("fine")),
        ({"content": "", "text": "fine"}, text("fine")),
        ({"content": "fine", "text": "fine"}, text("fine")),
        ({"content": [], "text": "fine"}, text("fine")),
        ({"content": [{"type": "output_text", "text": "fine"}]}, text("fine")),
        ({"content": [{"type": "text", "text": "a", "content": "a"}]}, text("a")),
        # refusals
        ({"content": None, "refusal": "I cannot."}, text("I cannot.")),
        ({"content": "", "refusal": "I cannot.", "audio": None}, text("I cannot.")),
        ({"content": [{"type": "refusal", "refusal": "I cannot."}]}, text("I cannot.")),
        ({"content": "I can.", "refusal": None}, text("I can.")),
        # reasoning of its own key: DeepSeek and vLLM, OpenRouter, LiteLLM
        ({"content": "a", "reasoning_content": "r"}, thought("r", "a")),
        ({"content": None, "reasoning": "r", "tool_calls": None}, thought("r")),
        ({"content": "a", "thinking": "r"}, thought("r", "a")),
        ({"content": "a", "reasoning": "r", "reasoning_content": "r"}, thought("r", "a")),
        (
            {
                "content": "a",
                "reasoning_content": "r",
                "thinking_blocks": [{"type": "thinking", "thinking": "r", "signature": "s"}],
            },
            thought("r", "a"),
        ),
    ],
)
def test_each_part_has_its_place(fields: dict[str, Any], message: dict[str, Any]) -> None:
    assert turn(**fields) == message


def test_a_call_in_the_older_key_is_a_call_and_its_result_is_one() -> None:
    talk = normalise(
        [
            {"role": "developer", "content": "s"},
            USER,
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "pay", "arguments": '{"to": "Bob"}'},
            },
            {"role": "function", "name": "pay", "content": "done"},
        ]
    )
    assert talk.messages[0] == {"role": "system", "content": "s"}
    assert talk.messages[2]["tool_calls"] == [
        {
            "call_id": "call_2_0",
            "function": {
                "name": "pay",
                "arguments": {"to": "Bob"},
                "arguments_json": '{"to": "Bob"}',
            },
        }
    ]
    assert talk.messages[3] == {
        "role": "tool",
        "content": "done",
        "tool_call_id": "call_2_0",
        "name": "pay",
    }
    assert talk.flags == {"developer_role", "function_role", "call_id_missing"}


@pytest.mark.parametrize("written", ["", "  ", "\n", None])
def test_a_call_without_arguments_is_one(written: str | None) -> None:
    talk = normalise(
        [assistant(None, {"id": "a", "function": {"name": "f", "arguments": written}})]
    )
    assert talk.messages[0]["tool_calls"][0]["function"] == {"name": "f", "arguments": {}}
    assert "call_without_arguments" in talk.flags


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"content": "a", "text": "b"}, "two_texts"),
        ({"content": "a", "refusal": "b"}, "two_texts"),
        ({"content": [{"type": "text", "text": "a", "content": "b"}]}, "two_texts"),
        ({"content": "a", "reasoning": "r", "thinking": "s"}, "two_texts"),
        (
            {"content": [{"type": "thinking", "thinking": "r"}], "reasoning_content": "s"},
            "two_texts",
        ),
        ({"content": "a", "refusal": {"text": "b"}}, "content_not_text"),
        ({"content": "a", "reasoning": {"summary": "b"}}, "content_not_text"),
        ({"content": [{"type": "image", "source": {"data": "x"}}]}, "unknown_content_block"),
        ({"content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "unknown_content_block"),
        ({"content": [{"type": "tool_use", "name": "f", "input": {}}]}, "unknown_content_block"),
        ({"content": [{"type": "tool_result", "content": "x"}]}, "unknown_content_block"),
        ({"content": [{"type": ["text"], "text": "x"}]}, "unknown_content_block"),
        (
            {"content": [{"type": "text", "text": "x", "citations": [{"cited_text": "y"}]}]},
            "unknown_content_block",
        ),
        ({"content": [{"type": "text", "value": "x"}]}, "unknown_content_block"),
        ({"content": "a", "parts": [{"text": "b"}]}, "unknown_message_part"),
        ({"content": None, "audio": {"transcript": "b"}}, "unknown_message_part"),
        ({"content": "a", "images": ["b64"]}, "unknown_message_part"),
        ({"content": "a", "citations": [{"url": "b"}]}, "unknown_message_part"),
        ({"content": "a", "reasoning_details": [{"text": "b"}]}, "unknown_message_part"),
        ({"content": "a", "thought": "b"}, "unknown_message_part"),
        ({"content": "a", "error": "b"}, "unknown_message_part"),
        ({"content": "a", "tool_call_id": "b"}, "unknown_message_part"),
        ({"content": "a", "tool_call": {"function": "f"}}, "unknown_message_part"),
        ({"content": "a", "function_call": "f"}, "bad_tool_call"),
        ({"content": "a", "function_call": {"name": "f"}, "tool_calls": [call()]}, "bad_tool_call"),
        ({"tool_calls": [{"id": "a", "function": "f", "arguments": {"x": 1}}]}, "bad_tool_call"),
        (
            {"tool_calls": [{"id": "a", "function": {"name": "f", "parameters": {"x": 1}}}]},
            "bad_tool_call",
        ),
        (
            {"tool_calls": [{"id": "a", "function": {"name": "f"}, "args": {"x": 1}}]},
            "bad_tool_call",
        ),
        (
            {"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
            "bad_tool_call",
        ),
    ],
)
def test_a_part_without_a_place_rejects_the_record(fields: dict[str, Any], expected: str) -> None:
    assert reason(**fields) == expected


@pytest.mark.parametrize("role", ["system", "user", "tool"])
@pytest.mark.parametrize(
    "fields",
    [
        {"content": "a", "refusal": "b"},
        {"content": "a", "reasoning_content": "b"},
        {"content": [{"type": "thinking", "thinking": "b"}]},
        {"content": "a", "function_call": {"name": "f"}},
    ],
)
def test_only_the_model_reasons_refuses_and_calls(role: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Reject, match="unknown_message_part"):
        normalise([assistant(None, call()), {"role": role, **fields}])


def test_metadata_is_kept_beside_the_messages() -> None:
    talk = normalise(
        [
            {"role": "user", "content": "q", "name": "ana", "weight": 0.5},
            {
                "role": "assistant",
                "id": "msg_1",
                "usage": {"tokens": 3},
                "content": [{"type": "text", "text": "a", "cache_control": {"type": "x"}}],
                "tool_calls": [{**call(), "index": 0, "placeholder_args": {"x": 1}}],
                "prefix": True,
            },
            {**result("r"), "name": "other"},
        ]
    )
    assert talk.flags == {"unknown_message_field", "result_name_differs"}
    assert talk.metadata == [
        {"message_index": 0, "fields": {"name": "ana", "weight": 0.5}},
        {
            "message_index": 1,
            "fields": {
                "id": "msg_1",
                "prefix": True,
                "usage": {"tokens": 3},
                "content": [{"block": 0, "cache_control": {"type": "x"}}],
                "tool_calls": [{"call": 0, "index": 0, "placeholder_args": {"x": 1}}],
            },
        },
        {"message_index": 2, "fields": {"name": "other"}},
    ]


def test_a_result_without_a_call_keeps_what_it_says_of_the_call() -> None:
    talk = normalise([USER, {**result("r", "c7"), "name": "pay"}])
    assert talk.messages[1] == {"role": "tool", "content": "r", "name": "pay"}
    assert talk.metadata[0]["fields"]["tool_call_id"] == "c7"


MARK = "QXZ-mark"
PLACES = st.recursive(
    st.just(MARK),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "thinking", "data", "name", "x", "args"]),
            inner | st.sampled_from(["text", "thinking", "image", None, 1]),
            min_size=1,
            max_size=3,
        )
    ),
    max_leaves=4,
)
KEYS = [
    "content",
    "text",
    "refusal",
    "thinking",
    "reasoning",
    "reasoning_content",
    "thinking_blocks",
    "function_call",
    "tool_calls",
    "tool_call_id",
    "tool_call",
    "error",
    "name",
    "id",
    "audio",
    "parts",
    "images",
    "usage",
    "loss",
    "anything",
]


@given(
    st.sampled_from(["system", "user", "assistant", "tool", "developer", "function"]),
    st.dictionaries(st.sampled_from(KEYS), PLACES | st.none(), min_size=1, max_size=4),
)
def test_a_text_anywhere_in_a_message_is_kept_or_rejected(
    role: str, fields: dict[str, Any]
) -> None:
    """Only the copy of the call in a tool message is left out: it says nothing new."""
    raw = {"role": role, **fields}
    try:
        talk = normalise([assistant(None, call()), raw])
    except Reject:
        return
    copy = {"tool_call": None, "tool_call_id": None} if role in ("tool", "function") else {}
    if MARK in repr({**raw, **copy}):
        assert MARK in repr((talk.messages, talk.metadata))


def test_whether_the_model_had_the_last_word() -> None:
    def finished(*messages: dict[str, Any]) -> bool:
        talk: Transcript = normalise([USER, *messages])
        return talk.finished

    assert finished(assistant("done"))
    assert not finished()
    assert not finished(assistant("wait", call()))
    assert not finished(assistant(None, call()), result("r"))
    assert not finished(assistant("done"), USER)
