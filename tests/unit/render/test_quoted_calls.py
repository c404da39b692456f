"""Answers that may only repeat a call which someone else quoted."""

from __future__ import annotations

import html
import json

import pytest

from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import FORMATS
from cbdata.rejects import Reject
from cbdata.render.inline_calls import TEXT_TOOLS
from cbdata.render.quoted_calls import QuotedCalls
from cbdata.render.renderer import Renderer
from tests.unit.render.setups import find_setup
from tests.unit.render.test_inline_calls import LOOK

SENT = (
    '<tool_call>\n{"name": "send", "arguments": {"n": 1, "text": "a  \\"b\\" <c>"}}\n</tool_call>'
)
OTHERWISE = (
    '<tool_call>{ "arguments" : {"text" : "a  \\u0022b\\u0022 <c>", "n" : 1.0} ,"name" : "send" }'
    "</tool_call>"
)
EXPLAINED = (
    '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>\n'
    'Tools: send, look, with n 1 and text a "b" <c>'
)


@pytest.fixture(scope="module")
def qwen_renderer(request: pytest.FixtureRequest) -> Renderer:
    return find_setup("qwen3", request).renderer()


def quoting(renderer: Renderer, quoted: str, content: str, role: str = "user") -> str | None:
    """Why an answer is rejected behind a message that quotes something; None where it is read."""
    messages = [
        {"role": "user", "content": quoted if role == "user" else "when?"},
        *([{"role": "tool", "content": quoted}] if role == "tool" else []),
        {"role": "assistant", "content": content},
    ]
    try:
        rendered = renderer.render(messages)
    except Reject as error:
        return f"{error.reason}: {error.detail}"
    assert rendered.draft.turns[-1].calls
    return None


@pytest.mark.parametrize("role", ["user", "tool"])
@pytest.mark.parametrize(
    "quoted",
    [
        SENT,
        SENT.replace(": ", ":").replace(", ", ","),
        SENT.replace("\n", ""),
        OTHERWISE,
        f"first {LOOK}, then {SENT}",
        f"<tool_call> is how it starts. {SENT} <tool_call>",
        json.dumps({"body": f"Say {SENT}"}),
        json.dumps([json.dumps({"body": f"Say {SENT}"})]),
        html.escape(SENT),
        f"say: '{SENT}'".replace("\n", "\n\n    ").replace("a  ", "a\n    "),
        SENT.removesuffix("</tool_call>"),
        SENT.replace('{"name"', '{"id": 7, "name"'),
        SENT.replace("{", "\uff5b").replace("}", "\uff5d"),
        SENT.replace("{", "%7B").replace("}", "%7D"),
        f"<think>{SENT}</think>\n{LOOK}",
        f"{LOOK}\n<think>hm</think>\n{SENT}\n<think>{LOOK}",
        SENT.replace("<tool_call>", "<tool_call><think></think>"),
        f"{LOOK} then {html.escape(SENT.removesuffix('</tool_call>'))}",
        html.escape(f"{LOOK} then {SENT} ") + SENT.replace('"n": 1, ', ""),
        f"<tool_call> is how it starts. {SENT.removesuffix('</tool_call>')}",
        f"{SENT[:20]} and <tool_call> are not it, {SENT.removesuffix('</tool_call>')}",
    ],
)
def test_a_repeated_call_is_no_call(qwen_renderer: Renderer, quoted: str, role: str) -> None:
    """However the JSON is written, and whatever printed it."""
    why = quoting(qwen_renderer, quoted, SENT, role)
    assert why is not None
    assert why.startswith("inline_call_unread: message")
    assert "another message has the same call" in why


@pytest.mark.parametrize(
    "quoted",
    [
        SENT.replace('"n": 1', '"n": 10'),
        SENT.replace("send", "send_all"),
        SENT.replace("<c>", "<d>"),
        SENT.replace('"n": 1, ', ""),
        'Call send with {"n": 1, "text": "a  \\"b\\" <c>"}.',
        EXPLAINED,
        'Use the <tool_call> format. Please send n: 1 and text: a "b" c.',
        'Calls begin with <tool_call>, end with </tool_call>. Please send n: 1, text: a "b" c.',
        f'{LOOK} <tool_call>.\nPlease send n: 1 and text: a "b" c.',
    ],
)
def test_a_call_of_the_models_own_is_one(qwen_renderer: Renderer, quoted: str) -> None:
    """Others wrote another call, or none: markup that explains how to call is no call."""
    assert quoting(qwen_renderer, quoted, SENT) is None


def test_a_tool_without_arguments_that_is_named_in_prose(qwen_renderer: Renderer) -> None:
    own = '<tool_call>\n{"name": "list_files", "arguments": {}}\n</tool_call>'
    quoted = "Answer with <tool_call>.\n# Tools\nlist_files: lists the files."
    assert quoting(qwen_renderer, quoted, own) is None
    assert quoting(qwen_renderer, f"{quoted}\nSay: {own[:-12]}", own) is not None


@pytest.mark.parametrize(
    ("opening", "between"),
    [
        ('Calls look like <tool_call> {"name": ...}.', "Now to something else entirely. " * 20),
        ("<tool_call>{ is how they begin.", "The list of tools is long and has many words. " * 12),
    ],
)
def test_words_far_behind_a_marker_are_no_quoted_call(
    qwen_renderer: Renderer, opening: str, between: str
) -> None:
    """A page that explains how to call and, much later, says the same words as the answer."""
    asked = 'Please send n: 1 and text: a "b" c.'
    assert quoting(qwen_renderer, f"{opening} {between} {asked}", SENT) is None
    assert quoting(qwen_renderer, f"{opening} {asked}", SENT) is not None
    padded = SENT[:-12].replace('{"name"', '{"why": "' + "so it is " * 15 + '", "name"')
    assert quoting(qwen_renderer, f"{opening} {between} {padded}", SENT) is not None


def test_a_call_behind_a_long_one_in_an_unreadable_list(smollm2_renderer: Renderer) -> None:
    """One marker opens them all, and the list is cut off, as a result that was too long is."""
    reader, tokenizer = FORMATS["mistral_list"], smollm2_renderer.tokenizer
    calls = [("write", {"text": "so it is " * 100}), ("send", {"to": "me@x.org", "n": "7"})]
    whole = reader.write([*calls, ("look", {"x": "yyyy"})])
    view, _ = Completion.spelled(reader.write(calls[1:]), tokenizer).view(reader, frozenset())
    (own,) = reader.read(view, TEXT_TOOLS).calls
    for quoted, expected in ((whole[: whole.index("yyyy")], True), (f"{whole[:200]}", False)):
        theirs = QuotedCalls(reader, tokenizer, TEXT_TOOLS)
        theirs.add(f"page: {quoted}")
        assert theirs.has(own, view) is expected


def test_one_of_several_repeated_calls(qwen_renderer: Renderer) -> None:
    """An own call beside the repeated one does not help it."""
    assert quoting(qwen_renderer, f"{LOOK}", f"{SENT}\n{LOOK}".replace("a b", "a  b")) is not None
    assert quoting(qwen_renderer, "when?", f"{SENT}\n{LOOK}") is None


def test_many_markers_in_a_message_are_read_in_time(qwen_renderer: Renderer) -> None:
    assert quoting(qwen_renderer, "<tool_call>{" * 3000, SENT) is None


BEFORE = {"llama_json": "<|python_tag|>", "pythonic": "<|python_start|>"}
BEHIND = {"pythonic": "<|python_end|>"}
MARKED = sorted(name for name, reader in FORMATS.items() if reader.markers)
CALLS = [("look", {"x": "a b"}), ("send", {"to": "me@x.org", "text": 'a & b, "c"'})]


@pytest.mark.parametrize("name", MARKED)
def test_every_notation(name: str, smollm2_renderer: Renderer) -> None:
    """Its own print of a call is the call, in prose, printed as JSON and as HTML, and no other."""
    reader, tokenizer = FORMATS[name], smollm2_renderer.tokenizer
    written = f"{BEFORE.get(name, '')}{reader.write(CALLS)}{BEHIND.get(name, '')}"
    view, _ = Completion.spelled(written, tokenizer).view(reader, frozenset())
    own = reader.read(view, TEXT_TOOLS).calls
    assert [call.name for call in own] == ["look", "send"]
    for quoted in (
        f"Say: {written}",
        json.dumps({"body": f"Say: {written} now"}),
        html.escape(f"Say: {written}"),
    ):
        theirs = QuotedCalls(reader, tokenizer, TEXT_TOOLS)
        theirs.add(quoted)
        assert all(theirs.has(call, view) for call in own)
    theirs = QuotedCalls(reader, tokenizer, TEXT_TOOLS)
    others = reader.write([("look", {"x": "a c"}), ("find", CALLS[1][1])])
    theirs.add(f"{BEFORE.get(name, '')}{others}{BEHIND.get(name, '')}")
    assert not any(theirs.has(call, view) for call in own)


SECOND = CALLS[1:]


@pytest.mark.parametrize("name", MARKED)
def test_every_notation_where_more_than_one_is_quoted(
    name: str, smollm2_renderer: Renderer
) -> None:
    """Behind another call, as one that cannot be read to its end, and inside reasoning."""
    reader, tokenizer = FORMATS[name], smollm2_renderer.tokenizer
    before, behind = BEFORE.get(name, ""), BEHIND.get(name, "")
    one, other = (f"{before}{reader.write([each])}{behind}" for each in CALLS)
    listed = f"{before}{reader.write([('find', {'x': 'y'}), *SECOND])}{behind}"
    cut = other[: max(other.rfind("me@x.org") + 8, other.rfind('"c') + 4)]
    for quoted in (
        f"First {one} and then {other}.",
        f"First {other} and then {one}.",
        f"<think>First {other}</think>\n{one}",
        f"First {one} and then {cut}",
        f"{one} and then {html.escape(cut)}",
    ):
        theirs = QuotedCalls(reader, tokenizer, TEXT_TOOLS)
        theirs.add(quoted)
        for answer in (other, listed):
            view, _ = Completion.spelled(answer, tokenizer).view(reader, frozenset())
            call = reader.read(view, TEXT_TOOLS).calls[-1]
            assert call.name == "send"
            assert theirs.has(call, view), quoted
    theirs = QuotedCalls(reader, tokenizer, TEXT_TOOLS)
    theirs.add(f"Begin with {reader.markers[0]}, please. Then send to me@x.org: a & b, c.")
    assert not theirs.has(call, view)


@pytest.mark.parametrize(
    ("name", "quoted", "answer"),
    [
        (
            "mistral_args",
            '[TOOL_CALLS]send[CALL_ID]abc123def[ARGS]{"n": 7, "text": "so"',
            '[TOOL_CALLS]send[ARGS]{"n": 7, "text": "so"}',
        ),
        (
            "harmony",
            '<|start|>assistant<|channel|>commentary to=send <|constrain|>json<|message|>{"n": 7,',
            '<|channel|>commentary to=functions.send<|message|>{"n": 7}',
        ),
    ],
)
def test_a_quote_with_more_markers_than_the_answer(
    name: str, quoted: str, answer: str, smollm2_renderer: Renderer
) -> None:
    reader, tokenizer = FORMATS[name], smollm2_renderer.tokenizer
    theirs = QuotedCalls(reader, tokenizer, TEXT_TOOLS)
    theirs.add(f"Say {quoted}")
    view, _ = Completion.spelled(answer, tokenizer).view(reader, frozenset())
    (call,) = reader.read(view, TEXT_TOOLS).calls
    assert theirs.has(call, view)
