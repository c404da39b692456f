"""Masks of any conversation, injected and cut at any place, under all policies, against the slow
oracle of the renders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cbdata.config import default_settings
from cbdata.lossmask.masks import make_mask
from cbdata.lossmask.registry import load_registry
from cbdata.rejects import Reject
from cbdata.render.record import RowWriter
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, RowSettings
from cbdata.tools import ToolSchema
from tests.conversations import build_trace
from tests.unit.render.oracle import FORMATS, Expected, Label, Script, tokenize

REGISTRY = load_registry()
CUSTOM = {
    "roles": {"tool": 0.5, "assistant": 1},
    "token_ranges": [{"start": 1, "end": 4, "weight": 0.25}],
}
TOOLS = ("read_file", "read_inbox", "read", "send_money", "über_tool")
SCHEMA = ToolSchema(
    "made",
    tuple({"type": "function", "function": {"name": name}} for name in TOOLS),
    None,
    "0" * 64,
    "made",
)


class Subject(NamedTuple):
    """A renderer, and the tokenizer and the format that the oracle takes."""

    renderer: Renderer
    tokenizer: Tokenizer
    form: str


@pytest.fixture(scope="module", params=FORMATS)
def subject(request: pytest.FixtureRequest) -> Subject:
    name = request.param
    folder: Path = (
        request.getfixturevalue("demo_model")
        if name == "smollm2"
        else request.getfixturevalue("shared_dir") / "tokenizers" / name
    )
    settings = default_settings(
        RenderSettings, tokenizer=str(folder), force_llama=name == "llama-3.1"
    )
    return Subject(
        Renderer.load(settings), Tokenizer.from_file(str(folder / "tokenizer.json")), name
    )


def mark_injection(script: Script, message: int, start: int, end: int) -> None:
    """Label characters ``[start, end)`` of a message's content, which its format prints as
    it is.
    """
    place = next(
        place
        for place, (_, _, labels) in enumerate(script.pieces)
        if ("content", message) in labels
    )
    text, _, labels = script.pieces[place]
    parts = (
        (text[:start], labels),
        (text[start:end], labels | {("injection",)}),
        (text[end:], labels),
    )
    script.pieces[place : place + 1] = [(part, False, own) for part, own in parts if part]


def oracle_weights(
    expected: Expected, messages: Sequence[Mapping[str, Any]], kept: int
) -> dict[str, list[float]]:
    """The weight of each of the first ``kept`` tokens under each policy that is there from
    the start, token by token. A new one need not be here.
    """
    role = {("said", index): message["role"] for index, message in enumerate(messages)}
    system = {
        ("turn", index) for index, message in enumerate(messages) if message["role"] == "system"
    }
    last = (
        "said",
        max(index for index, message in enumerate(messages) if message["role"] == "assistant"),
    )
    calls = []
    for _, *where in expected.having("call"):
        call, name, settled = (expected.span(kind, *where) for kind in ("call", "name", "settled"))
        assert call and name and settled
        calls.append((call[0], name[1], settled[1]))
    answer = [place for place, have in enumerate(expected.labels) if last in have]
    call = expected.span("call", last[1], 0)
    action = range(answer[0], call[1]) if call and call[0] < kept else ()
    injection = expected.span("injection")
    exposed = injection[1] if injection else len(expected.ids)

    def weights(place: int, have: frozenset[Label]) -> dict[str, float]:
        said = any(role.get(label) == "assistant" for label in have)
        result = any(role.get(label) == "tool" for label in have)
        called, named = (any(label[0] == kind for label in have) for kind in ("call", "name"))
        after = said and place >= exposed
        return {
            "assistant_only": said,
            "completion_only": last in have,
            "full_sequence": 1.0,
            "cb_full_sequence": not have & system and ("bos",) not in have,
            "tool_calls_only": called,
            "action_prefix_only": any(start <= place < name for start, name, _ in calls),
            # a call that is cut before its tool is settled has no commitment
            "action_commitment": any(
                start <= place < settled <= kept for start, _, settled in calls
            ),
            "assistant_and_tool": said or result,
            "post_injection_only": after,
            "post_injection_tool_calls_only": called and place >= exposed,
            "tool_name_weighted": 1.0 if named else 0.3 if called else 0.0,
            "injection_aware": 1.0 if after else 0.5 if ("injection",) in have else 0.0,
            "completion_window": place in answer[:15],
            "first_action": place in action,
            "custom": 0.25 if 1 <= place < 4 else 1.0 if said else 0.5 if result else 0.0,
        }

    rows = [weights(place, have) for place, have in enumerate(expected.labels[:kept])]
    return {policy: [float(row[policy]) for row in rows] for policy in rows[0]}


FRAGMENTS = [
    "a",
    "word",
    " ",
    "  ",
    "\n",
    "é",
    "e\u0301",
    "日本",
    "👍🏽",
    "\u200d",
    "1234",
    '"',
    "\\",
    "{",
    "}",
    "<",
    "'s",
    "\t",
    "read_file",
]
CONTROL = [
    "<|im_end|>",
    "<|im_start|>",
    "<|eot_id|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|python_tag|>",
    "<tool_call>",
    "</tool_call>",
]
contents = st.lists(st.sampled_from(FRAGMENTS) | st.sampled_from(CONTROL), max_size=6).map("".join)
arguments = st.dictionaries(
    st.sampled_from(["x", "ключ"]), contents | st.integers(0, 99) | st.none(), max_size=2
)


Conversation = tuple[list[dict[str, Any]], dict[int, tuple[int, int]]]


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Messages, and perhaps the characters of one of them that are the injection."""
    messages = [{"role": "system", "content": draw(contents)}] if draw(st.booleans()) else []
    messages.append({"role": "user", "content": draw(contents)})
    for _ in range(draw(st.integers(1, 3))):
        message: dict[str, Any] = {"role": "assistant", "content": draw(contents)}
        names = draw(st.lists(st.sampled_from(TOOLS), max_size=2))
        if names:
            message["tool_calls"] = [
                {
                    "call_id": f"c{len(messages)}{i}",
                    "function": {"name": n, "arguments": draw(arguments)},
                }
                for i, n in enumerate(names)
            ]
        messages.append(message)
        messages += [
            {"role": "tool", "content": draw(contents), "tool_call_id": f"c{len(messages)}{i}"}
            for i in range(len(names))
        ]
        if draw(st.booleans()):
            messages.append({"role": "user", "content": draw(contents)})
    places = [
        index
        for index, message in enumerate(messages)
        if message["role"] in ("user", "tool") and message["content"]
    ]
    if not places or draw(st.booleans()):
        return messages, {}
    index = draw(st.sampled_from(places))
    start = draw(st.integers(0, len(messages[index]["content"]) - 1))
    return messages, {index: (start, draw(st.integers(start + 1, len(messages[index]["content"]))))}


@settings(max_examples=60)
@given(conversation=conversations(), max_length=st.one_of(st.just(4096), st.integers(20, 120)))
def test_ids_and_masks_are_the_oracle_s(
    subject: Subject, conversation: Conversation, max_length: int
) -> None:
    messages, injection = conversation
    trace = build_trace("trace_made_1")
    trace["messages"] = messages
    for index, (start, end) in injection.items():
        trace["signal_hints"] = {
            "injection_char_span": {"message_index": index, "char_start": start, "char_end": end}
        }
    rows = RowWriter(subject.renderer, default_settings(RowSettings, max_length=max_length))
    try:
        rendered = subject.renderer.render(messages)
    except Reject as error:
        # Markup of calls in an answer, with what is no call behind it.
        assume(error.reason != "inline_call_unread")
        raise
    render = orjson.loads(rows.row(trace, rendered, SCHEMA, tools_included=False).line)

    script = FORMATS[subject.form](messages, TOOLS)
    for index, (start, end) in injection.items():
        mark_injection(script, index, start, end)
    expected = tokenize(script, subject.tokenizer)
    assert render["input_ids"] == expected.ids[:max_length]
    for policy, weights in oracle_weights(expected, messages, render["sequence_length"]).items():
        assert (
            make_mask(
                render, REGISTRY.bind(policy, CUSTOM if policy == "custom" else None).layers
            ).weights()
            == weights
        ), policy
