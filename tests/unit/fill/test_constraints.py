from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import xgrammar
from xgrammar.testing import _is_grammar_accept_string

from cbdata.config import default_settings
from cbdata.fill.constraints import argument_key, call_grammar, call_schema
from cbdata.judge.judgement import argument_errors
from cbdata.judge.parser import parse_completion
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings
from cbdata.tools import ToolSchema, ToolSchemaError


@pytest.fixture(scope="module")
def grammar(b4_tools: ToolSchema) -> xgrammar.Grammar:
    return xgrammar.Grammar.from_ebnf(call_grammar(b4_tools))


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "search_web", "arguments": {"query": "Mars"}}',
        '{"name": "search_web", "arguments": {"query": "a \\"quoted\\" {brace}, \\u00e9 and é"}}',
        '{"name": "send_email", "arguments": {"to": "a@b", "subject": "", "body": "x"}}',
        '{"name": "get_user_info", "arguments": {}}',
    ],
)
def test_what_the_grammar_lets_through_is_a_call_that_fits_the_schema(
    grammar: xgrammar.Grammar, b4_tools: ToolSchema, text: str
) -> None:
    assert _is_grammar_accept_string(grammar, text)
    parsed = parse_completion(text, b4_tools.names)
    assert parsed.kind == "calls" and argument_errors(parsed.calls, b4_tools) == []


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "launch", "arguments": {}}',
        '{"name": "search_web", "arguments": {}}',
        '{"name": "search_web", "arguments": {"query": 3}}',
        '{"name": "search_web", "arguments": {"query": "a", "more": "b"}}',
        '{"name": "search_web", "parameters": {"query": "a"}}',
        '{\n"name": "search_web", "arguments": {"query": "a"}}',
        '{"name": "search_web", "arguments": {"query": "a"}} and',
        "I cannot do that.",
        "",
    ],
)
def test_everything_else_is_kept_out(grammar: xgrammar.Grammar, text: str) -> None:
    assert not _is_grammar_accept_string(grammar, text)


def test_either_argument_key_can_be_asked_for(b4_tools: ToolSchema) -> None:
    own = xgrammar.Grammar.from_ebnf(call_grammar(b4_tools, "parameters"))
    assert _is_grammar_accept_string(own, '{"name": "read_file", "parameters": {"path": "a"}}')
    with pytest.raises(ValueError, match="argument_key 'args'"):
        call_schema(b4_tools, "args")


@pytest.mark.parametrize(
    ("tokenizer", "force_llama", "key"),
    [
        ("llama-3.1", False, "parameters"),
        ("llama-3.1", True, "parameters"),
        ("qwen3", False, "arguments"),
    ],
)
def test_the_argument_key_is_the_one_of_the_chat_template(
    shared_dir: Path, b4_tools: ToolSchema, tokenizer: str, force_llama: bool, key: str
) -> None:
    renderer = Renderer.load(
        default_settings(
            RenderSettings,
            tokenizer=str(shared_dir / "tokenizers" / tokenizer),
            force_llama=force_llama,
        )
    )
    assert (
        argument_key(
            lambda messages: renderer.prompt(messages, list(b4_tools.tools)).text, b4_tools
        )
        == key
    )


def test_the_argument_key_is_read_from_the_call_and_not_from_the_tools(
    b4_tools: ToolSchema,
) -> None:
    def rendered(messages: list) -> str:
        call = messages[1]["tool_calls"][0]["function"]
        return (
            f'{{"parameters": {{}}}} {{"name": "{call["name"]}", "arguments":'
            f" {orjson.dumps(call['arguments']).decode()}}}"
        )

    assert argument_key(rendered, b4_tools) == "arguments"


def test_a_schema_that_no_grammar_can_express_says_so() -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "f",
            "parameters": {"type": "object", "properties": {"x": {"$ref": "#/nowhere"}}},
        },
    }
    with pytest.raises(ToolSchemaError, match="constrain_tool_calls=false"):
        call_grammar(ToolSchema("v", (tool,), None, "0", "tools.json"))


def test_the_schema_keeps_what_the_tools_say(b4_tools: ToolSchema) -> None:
    schema = call_schema(b4_tools)
    assert [each["properties"]["name"]["const"] for each in schema["anyOf"]] == list(b4_tools.names)
    for each, name in zip(schema["anyOf"], b4_tools.names, strict=True):
        parameters = each["properties"]["arguments"]
        assert parameters["additionalProperties"] is False
        assert parameters["properties"] == (b4_tools.parameters(name) or {}).get("properties", {})
    assert orjson.dumps(schema) == orjson.dumps(call_schema(b4_tools))
