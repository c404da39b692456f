"""Generated conversations against the slow oracle: ids, every span, and the mask of every policy,
on three tokenizers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cbdata.call_formats.registry import CALL_MARKERS
from cbdata.config import default_settings
from cbdata.lossmask.masks import make_mask
from cbdata.lossmask.registry import load_registry
from cbdata.rejects import Reject
from cbdata.render.record import RowWriter
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RowSettings
from cbdata.tools import ToolSchema
from tests.unit.render.oracle import FORMATS, Expected, tokenize
from tests.unit.render.setups import Setup

TOOLS = ("read_file", "read_inbox", "get_iban", "send", "send_money", "finish")
SCHEMA = ToolSchema(
    "made_v1",
    tuple({"type": "function", "function": {"name": name}} for name in TOOLS),
    None,
    "0" * 64,
    "",
)
CONTROL_TEXT = (
    "<|eot_id|>",
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "<tool_call>",
    "</tool_call>",
    "</think>",
    "<|python_tag|>",
    "<tool_response>",
)
FRAGMENTS = (
    *CONTROL_TEXT,
    *(
        "Hello",
        " world",
        "\n",
        "\n\n",
        " ",
        "   ",
        "\t",
        "\r\n",
        "é",
        "e\u0301",
        "\u0301",
        "😀",
        "👩‍👩‍👧",
        "日本語",
        "ß",
        "12345",
        "'ll",
        '"',
        "\\",
        "{",
        '{"name": "read_file"}',
    ),
    *(
        "<|",
        "|>",
        "<",
        "\u200b",
        "\u00a0",
        "\ufeff",
        "\U000f003c",
        "\ue000",
        "assistant\n",
        "<|im_",
        "{{ x }}",
        "{% raw %}",
        "%s",
    ),
)
TEXT = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join),
    st.text(max_size=12).filter(lambda text: text.isprintable()),
)
VALUES = st.one_of(TEXT, st.integers(-5, 99), st.booleans(), st.none(), st.lists(TEXT, max_size=2))
ARGUMENTS = st.dictionaries(st.one_of(st.sampled_from(("path", "to")), TEXT), VALUES, max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """System message or not, then rounds of a question and answers, with calls and results between,
    empty turns included.
    """
    messages: list[dict[str, Any]] = (
        [{"role": "system", "content": draw(TEXT)}] if draw(st.booleans()) else []
    )
    number = 0
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(TEXT)})
        for _ in range(draw(st.integers(0, 2))):
            names = draw(st.lists(st.sampled_from(TOOLS), min_size=1, max_size=3))
            calls = []
            for name in names:
                calls.append(
                    {
                        "call_id": f"call{number:05}",
                        "function": {"name": name, "arguments": draw(ARGUMENTS)},
                    }
                )
                number += 1
            messages.append({"role": "assistant", "content": draw(TEXT), "tool_calls": calls})
            if draw(st.booleans()):
                messages += [
                    {
                        "role": "tool",
                        "content": draw(TEXT),
                        "tool_call_id": call["call_id"],
                        "name": call["function"]["name"],
                    }
                    for call in calls
                ]
        messages.append({"role": "assistant", "content": draw(TEXT)})
    return messages


def trace_of(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "trace_made_" + "0" * 32,
        "messages": messages,
        "signal_hints": {},
        "tool_attack": {"expected_tool": "finish"},
    }


@pytest.fixture(scope="module")
def whole_tokenizer(setup: Setup) -> Tokenizer:
    return Tokenizer.from_file(str(setup.folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def policies(repo: Path) -> Any:
    return load_registry(repo / "configs" / "lmp_registry_v1.json")


def expected_masks(expected: Expected, messages: list[dict[str, Any]]) -> dict[str, list[bool]]:
    """Which tokens each policy trains, straight from the policy table of the data contract."""
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    systems = {
        ("turn", index) for index, message in enumerate(messages) if message["role"] == "system"
    }
    said = {("said", index) for index in answers}
    prefixes: set[int] = set()
    commitments: set[int] = set()
    for _, message, number in expected.having("call"):
        call, name = expected.span("call", message, number), expected.span("name", message, number)
        settled = expected.span("settled", message, number)
        assert call and name and settled
        prefixes.update(range(call[0], name[1]))
        commitments.update(range(call[0], settled[1]))
    labels = expected.labels
    return {
        "assistant_only": [bool(have & said) for have in labels],
        "completion_only": [("said", answers[-1]) in have for have in labels],
        "full_sequence": [True] * len(labels),
        "cb_full_sequence": [not have & systems and ("bos",) not in have for have in labels],
        "tool_calls_only": [any(label[0] == "call" for label in have) for have in labels],
        "action_prefix_only": [index in prefixes for index in range(len(labels))],
        "action_commitment": [index in commitments for index in range(len(labels))],
    }


def check(
    messages: list[dict[str, Any]],
    renderer: Renderer,
    tokenizer: Tokenizer,
    form: str,
    policies: Any,
) -> None:
    expected = tokenize(FORMATS[form](messages, TOOLS), tokenizer)
    writer = RowWriter(renderer, default_settings(RowSettings, max_length=10**6))
    row = orjson.loads(
        writer.row(trace_of(messages), renderer.render(messages), SCHEMA, tools_included=False).line
    )
    assert row["input_ids"] == expected.ids
    spans = row["alignment"]
    assert len(spans["message_spans"]) == len(messages)
    for span in spans["message_spans"]:
        index = span["message_index"]
        assert (span["token_start"], span["token_end"]) == expected.span("turn", index)
        assert (span["content_start"], span["content_end"]) == expected.span("said", index)
    assert {
        ("call", span["message_index"], span["call_index"]) for span in spans["tool_call_spans"]
    } == expected.having("call")
    for span in spans["tool_call_spans"]:
        where = (span["message_index"], span["call_index"])
        assert (span["token_start"], span["token_end"]) == expected.span("call", *where)
        assert (span["name_token_start"], span["name_token_end"]) == expected.span("name", *where)
    for item in row["signals"]["action_commitments"]:
        settled = expected.span("settled", item["assistant_message_index"], item["call_index"])
        assert (
            settled
            and item["prefix_token_indices"] == list(range(*settled))
            and item["commitment_token_idx"] == settled[1] - 1
        )
    for policy, mask in expected_masks(expected, messages).items():
        weights = make_mask(row, policies.bind(policy).layers).weights()
        assert [weight > 0 for weight in weights] == mask, policy
    roles = {"user": 0.5, "tool": 0.25}
    weights = make_mask(row, policies.bind("custom", {"roles": roles}).layers).weights()
    by_label = {
        ("said", index): roles.get(message["role"], 0.0) for index, message in enumerate(messages)
    }
    assert weights == [
        max((by_label.get(label, 0.0) for label in have), default=0.0) for have in expected.labels
    ]


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(messages=conversations())
def test_generated_conversations(
    messages: list[dict[str, Any]],
    setup: Setup,
    renderer: Renderer,
    whole_tokenizer: Tokenizer,
    policies: Any,
) -> None:
    try:
        renderer.render(messages)
    except Reject as error:
        check_reject(error, messages)
        return
    check(messages, renderer, whole_tokenizer, setup.name, policies)


def check_reject(error: Reject, messages: list[dict[str, Any]]) -> None:
    """Markup of calls with what is no call behind it; only an answer of the model can hold more
    than text.
    """
    assert error.reason == "inline_call_unread"
    said = [message["content"] for message in messages if message["role"] == "assistant"]
    assert any(marker in content for content in said for marker in CALL_MARKERS)


def test_real_transcripts(
    setup: Setup,
    renderer: Renderer,
    whole_tokenizer: Tokenizer,
    policies: Any,
    transcripts: list[dict[str, Any]],
) -> None:
    for trace in transcripts[::40]:
        check(trace["messages"], renderer, whole_tokenizer, setup.name, policies)
