"""What is a call, what is none, and what is a call gone wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cbdata.judge.parser import END_TOKENS, parse_completion

WEB = '{"name": "search_web", "parameters": {"query": "Mars"}}'
DOCS = '{"name": "retrieve_multimodal_docs", "arguments": {"query": "Mars"}}'
TWO = ["search_web", "retrieve_multimodal_docs"]


def names(text: str) -> list[str]:
    parsed = parse_completion(text)
    assert parsed.kind == "calls", parsed.detail
    for call in parsed.calls:
        assert call.raw == text[call.start : call.end]
    return [call.name for call in parsed.calls]


def arguments(text: str) -> dict[str, Any]:
    parsed = parse_completion(text)
    assert parsed.kind == "calls", parsed.detail
    return parsed.calls[0].arguments


@pytest.mark.parametrize(
    "text",
    [
        WEB,
        f"<|python_tag|>{WEB}",
        f"<|python_tag|> {WEB}<|eom_id|>",
        f"{WEB}<|eot_id|>",
        f"  \n{WEB}\n",
        f"<tool_call>\n{WEB}\n</tool_call>",
        f"<tool_call>{WEB}</tool_call><|im_end|>\n",
        f"[{WEB}]",
        f"<|python_tag|>[{WEB}]",
        f"```json\n{WEB}\n```",
        f"```\n{WEB}\n```<|eot_id|>",
        'search_web(query="Mars")',
        "<|python_tag|>search_web(query='Mars')<|eom_id|>",
        "[search_web(query='Mars')]",
        "`search_web(query='Mars')`",
        "```tool_code\nsearch_web(query='Mars')\n```",
        "<tool_call>search_web(query='Mars')</tool_call>",
        "search_web(\n  query = 'Mars',\n)",
        '{"type": "function", "name": "search_web", "parameters": {"query": "Mars"}}',
        '{"type": "function", "function": {"name": "search_web", "arguments": {"query": "Mars"}}}',
        '{"function": {"name": "search_web", "parameters": {"query": "Mars"}}}',
        '{"name": "search_web", "arguments": "{\\"query\\": \\"Mars\\"}"}',
        '{"parameters": {"query": "Mars"}, "name": "search_web", "id": 7}',
        f"<think>I could call {DOCS}.</think>\n\n{WEB}",
    ],
)
def test_one_call(text: str) -> None:
    parsed = parse_completion(text)
    assert parsed.kind == "calls", parsed.detail
    assert [(call.name, call.arguments) for call in parsed.calls] == [
        ("search_web", {"query": "Mars"})
    ]
    assert parsed.content == ""


@pytest.mark.parametrize(
    "text",
    [
        f"<|python_tag|>{WEB}; {DOCS}",
        f"<|python_tag|>{WEB};{DOCS};<|eom_id|>",
        f"<|python_tag|>{WEB}\n{DOCS}",
        f"<|python_tag|>[{WEB}, {DOCS}]",
        f"<|python_tag|>{WEB}<|python_tag|>{DOCS}",
        f"{WEB}; {DOCS}",
        f"{WEB}\n\n{DOCS}<|eot_id|>",
        f"[{WEB},\n {DOCS}]",
        f"```json\n[{WEB}, {DOCS}]\n```",
        f"```json\n{WEB}\n{DOCS}\n```",
        f"<tool_call>\n{WEB}\n</tool_call>\n<tool_call>\n{DOCS}\n</tool_call>",
        f"<tool_call>{WEB}\n{DOCS}</tool_call>",
        "<|python_tag|>search_web(query='Mars'); retrieve_multimodal_docs(query='Mars')",
        "search_web(query='Mars'); retrieve_multimodal_docs(query='Mars')",
        "search_web(query='Mars')\nretrieve_multimodal_docs(query='Mars')",
        "[search_web(query='Mars'), retrieve_multimodal_docs(query='Mars')]",
        f"<|python_tag|>search_web(query='Mars'); {DOCS}",
    ],
)
def test_two_calls_in_their_order(text: str) -> None:
    assert names(text) == TWO
    assert parse_completion(text).content == ""


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (f"I will look that up.\n\n{WEB}", "I will look that up."),
        (f"I will call {WEB} now.", "I will call\nnow."),
        (f"Sure!\n```json\n{WEB}\n```\nDone.<|eot_id|>", "Sure!\nDone."),
        (f"First:\n<tool_call>\n{WEB}\n</tool_call>\nthat.", "First:\nthat."),
        ("Let me search: search_web(query='Mars')", "Let me search:"),
        (f"```python\nx = 1\n```\n{WEB}", "```python\nx = 1\n```"),
        (f"{WEB} {{not a call}}", "{not a call}"),
        (f"<think>hm</think>Here: {WEB}", "Here:"),
    ],
)
def test_prose_beside_a_call(text: str, content: str) -> None:
    assert names(text) == ["search_web"]
    assert parse_completion(text).content == content


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "Mars is a planet.",
        "A set is written {1, 2} and a list [1, 2].",
        "{",
        "}{][",
        "{{ template }}",
        '{"answer": 42}',
        '{"name": "Alice", "age": 3}',
        '{"name": "search_web"}',
        '[{"a": 1}, {"b": 2}]',
        '{"calls": 1, "nested": {"name": "search_web", "parameters": {}}}',
        "You could call search_web(query='Mars') for that.",
        "search_web(query='Mars') would find pictures.",
        "print('hello')",
        "```python\nprint(max(1, 2))\n```",
        "f(x)(y)",
        (
            '{"type": "function", "function": {"name": "s", "description": "d", "parameters":'
            ' {"type": "object", "properties": {"q": {}}}}}'
        ),
        "<think>{}</think>Mars.",
        "<|eot_id|>",
        "See [the docs](https://example.org) and [1].",
    ],
)
def test_no_call(text: str) -> None:
    parsed = parse_completion(text)
    assert (parsed.kind, parsed.calls) == ("no_call", ()), parsed.detail


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (WEB[:-1], "text ends inside a value"),
        (WEB[:30], "JSON unreadable"),
        ('{"name": "search_web", "parameters": {"query": "a\nb"}}', "not a value"),
        (
            "{'name': 'search_web', 'parameters': {'query': 'Mars'}}",
            "JSON unreadable at character 1",
        ),
        ('{"name": "a", "parameters": {}, "name": "b"}', "repeated key"),
        ('{"name": "a", "parameters": {}, "arguments": {}}', "both arguments and parameters"),
        ('{"name": "a", "parameters": null}', "not an object"),
        ('{"name": "a", "parameters": ["x"]}', "not an object"),
        ('{"name": "a", "arguments": "x = 1"}', "a string that is not JSON"),
        ('{"name": "a", "arguments": "{} {}"}', "a string that is not JSON"),
        ('{"name": 3, "parameters": {}}', "the name is not a string"),
        ('{"name": "", "parameters": {}}', "the name is not a string"),
        (
            '{"type": "function", "function": "search_web", "parameters": {}}',
            "'function' is not an object",
        ),
        ('{"type": "function", "function": {"name": "search_web"}}', "no arguments or parameters"),
        ('{"tool_calls": [{"name": "a", "arguments": {}}]}', "inside a message object"),
        (f"[{WEB}", "not closed"),
        (f"[{WEB}, {DOCS[:20]}", "JSON unreadable"),
        (f"[{WEB}, 3]", "does not go on"),
        (f'[{WEB}, {{"a": 1}}]', "a list of calls and other things"),
        (f"<tool_call>{WEB}", "not closed after 1 calls"),
        (f"<tool_call>{WEB[:-1]}</tool_call>", "JSON unreadable"),
        ("<tool_call></tool_call>", "no call after the markup"),
        ('<tool_call>{"a": 1}</tool_call>', "no name"),
        (f"{WEB}</tool_call>", "</tool_call> without <tool_call>"),
        ("<|python_tag|>", "no call after the markup"),
        ("<|python_tag|>import os", "no call after the markup"),
        ("<|python_tag|>search_web('Mars')", "an argument without its name"),
        ("<|python_tag|>search_web(query=Mars)", "argument unreadable"),
        ("<|python_tag|>search_web(query='Mars'", "call not closed"),
        ("<|python_tag|>search_web(query='a', query='b')", "given twice"),
        (f"<|python_tag|>{WEB}; {DOCS[:30]}", "JSON unreadable"),
        (f'<|python_tag|>{WEB}; {{"a": 1}}', "no name"),
        (f"{WEB} and then {WEB[:-1]}", "text ends inside a value"),
        ("search_web(query=open('x').read())", "argument unreadable"),
        (f"<think>never closed {WEB}", "think block"),
        (f"{WEB}}}", "brackets left over: }"),
        (f"{WEB}, {DOCS}]", "brackets left over: ]"),
        (f'"{WEB}"', 'brackets left over: "'),
    ],
)
def test_malformed(text: str, detail: str) -> None:
    parsed = parse_completion(text)
    assert parsed.kind == "malformed"
    assert detail in parsed.detail
    assert parsed.content == text


def test_whole_calls_of_a_malformed_completion_are_kept_for_the_record() -> None:
    parsed = parse_completion(f"<|python_tag|>{WEB}; {DOCS[:30]}")
    assert [call.name for call in parsed.calls] == ["search_web"]


@pytest.mark.parametrize(
    "value",
    [
        *(
            "a } b { c",
            'say "hi"',
            "; {",
            "line\nbreak",
            "\\",
            "```",
            "caf\u00e9 \U0001f600 \u4e2d\u6587",
        ),
        *("<tool_call>", "</tool_call>", "<|python_tag|>", "<|eot_id|>"),
    ],
)
def test_text_in_strings_is_only_text(value: str) -> None:
    for ascii_only in (True, False):
        body = json.dumps(
            {
                "name": "search_web",
                "parameters": {"query": value, "deep": {"list": [{"q": value}]}},
            },
            ensure_ascii=ascii_only,
        )
        for text in (
            body,
            f"<|python_tag|>{body}",
            f"<tool_call>\n{body}\n</tool_call>",
            f"```json\n{body}\n```",
        ):
            assert names(text) == ["search_web"]
            assert arguments(text) == {"query": value, "deep": {"list": [{"q": value}]}}
    assert arguments(f"search_web(query={value!r})") == {"query": value}


def test_python_arguments_are_literals() -> None:
    text = (
        "<|python_tag|>execute_code(code='''a = {}\nprint(a)''', options={'n': [1, 2.5, -3], 'x':"
        " None}, dry=True)"
    )
    assert arguments(text) == {
        "code": "a = {}\nprint(a)",
        "options": {"n": [1, 2.5, -3], "x": None},
        "dry": True,
    }
    assert names("<|python_tag|>brave_search.call(query='x')") == ["brave_search.call"]
    assert arguments("<|python_tag|>get_user_info()") == {}


def test_arguments_written_as_a_string_are_kept() -> None:
    call = parse_completion('{"name": "a", "arguments": "{\\"x\\":  1}"}').calls[0]
    assert (call.arguments, call.arguments_json) == ({"x": 1}, '{"x":  1}')
    assert parse_completion(WEB).calls[0].arguments_json is None


def test_form_and_markup_are_told() -> None:
    forms = {
        text: parse_completion(text).calls[0]
        for text in (WEB, f"<|python_tag|>{WEB}", f"<tool_call>{WEB}</tool_call>", "a(b=1)")
    }
    assert [(call.markup, call.form) for call in forms.values()] == [
        ("bare", "json"),
        ("python_tag", "json"),
        ("tool_call", "json"),
        ("bare", "python"),
    ]


@pytest.mark.parametrize("token", END_TOKENS)
def test_end_tokens_are_no_prose(token: str) -> None:
    assert parse_completion(f"Mars. {token}\n{token}").content == "Mars."
    assert parse_completion(f"Mars{token} is red.").content == f"Mars{token} is red."


def test_a_think_block_is_set_apart() -> None:
    parsed = parse_completion(f"<think>\nUse {DOCS}?\n</think>\n\nNo.")
    assert (parsed.kind, parsed.content, parsed.thinking) == ("no_call", "No.", f"Use {DOCS}?")
    assert parse_completion("<think>\n\n</think>Yes.").thinking is None
    assert parse_completion("A <think> in prose.").content == "A <think> in prose."


def test_known_names_tell_bare_calls_from_code() -> None:
    code = "```python\nplot(x=1)\nmain()\n```"
    assert parse_completion(code).kind == "calls"
    assert parse_completion(code, TWO).kind == "no_call"
    assert parse_completion(f"{code}\nsearch_web(query='Mars')", TWO).calls[0].name == "search_web"
    assert parse_completion("search_web('Mars')", TWO).kind == "malformed"
    assert parse_completion("search_web()", TWO).kind == "calls"
    assert parse_completion("<|python_tag|>other(x=1)", TWO).calls[0].name == "other"
    assert parse_completion('{"name": "other", "parameters": {}}', TWO).calls[0].name == "other"
