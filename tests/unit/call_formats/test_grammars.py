"""Constrained generation writes what the same format reads."""

from __future__ import annotations

import pytest
import xgrammar
from xgrammar.testing import _is_grammar_accept_string

from cbdata.call_formats.base import CallFormat
from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import FORMATS
from cbdata.judge.reading import ReadingRules, read_completion
from cbdata.tools import ToolSchema, ToolSchemaError

GOOD = ("search_web", {"query": 'a "quoted" {brace}'})
BAD = (
    ("launch", {}),
    ("search_web", {}),
    ("search_web", {"query": 3}),
    ("search_web", {"query": "a", "more": "b"}),
)
WITH_GRAMMAR = sorted(
    name for name, each in FORMATS.items() if type(each).grammar is not CallFormat.grammar
)


@pytest.mark.parametrize("name", WITH_GRAMMAR)
def test_what_the_grammar_lets_through_is_a_call(name: str, b4_tools: ToolSchema) -> None:
    call_format = FORMATS[name]
    grammar = xgrammar.Grammar.from_ebnf(call_format.grammar(b4_tools))
    text = call_format.write([GOOD])
    assert _is_grammar_accept_string(grammar, text)
    found = read_completion(Completion.spelled(text), b4_tools, ReadingRules(name))
    assert [(call.name, call.arguments) for call in found.calls] == [GOOD]
    for bad in BAD:
        assert not _is_grammar_accept_string(grammar, call_format.write([bad]))
    for other in ("", "I cannot do that.", f"{text} and", f" {text}"):
        assert not _is_grammar_accept_string(grammar, other)


def test_the_others_say_that_they_have_none(b4_tools: ToolSchema) -> None:
    with_grammar = [name for name in FORMATS if FORMATS[name].grammar(b4_tools) is not None]
    assert sorted(with_grammar) == WITH_GRAMMAR


@pytest.mark.parametrize("name", WITH_GRAMMAR)
def test_a_schema_that_no_grammar_can_express_says_so(name: str) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "f",
            "parameters": {"type": "object", "properties": {"x": {"$ref": "#/nowhere"}}},
        },
    }
    with pytest.raises(ToolSchemaError, match="constrain_tool_calls=false"):
        FORMATS[name].grammar(ToolSchema("v", (tool,), None, "0", "tools.json"))


def kinds() -> ToolSchema:
    """Two tools whose schemas have a part of the same name and refer to it, and to themselves."""
    tools = []
    for name, kind in (("share", "r"), ("delete", "all")):
        parameters = {
            "type": "object",
            "properties": {
                "kind": {"$ref": "#/$defs/Kind"},
                "default": {"$ref": "#/$defs/Kind"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Child"}},
            },
            "required": ["kind"],
            "$defs": {
                "Kind": {"enum": [kind, "none"]},
                "Child": {
                    "type": "object",
                    "properties": {"child": {"$ref": "#/$defs/Child"}},
                    "additionalProperties": False,
                },
            },
        }
        tools.append({"type": "function", "function": {"name": name, "parameters": parameters}})
    return ToolSchema("v", tuple(tools), None, "0", "tools.json")


@pytest.mark.parametrize("name", WITH_GRAMMAR)
def test_schemas_may_refer_to_their_own_parts(name: str) -> None:
    grammar = xgrammar.Grammar.from_ebnf(FORMATS[name].grammar(kinds()))
    for tool, own, other in (("share", "r", "all"), ("delete", "all", "r")):
        for arguments, fits in (
            ({"kind": own}, True),
            ({"kind": other}, False),
            ({"kind": "none", "default": own}, True),
            ({"kind": "none", "default": other}, False),
            ({"kind": own, "children": [{"child": {"child": {}}}]}, True),
            ({"kind": own, "children": [{"other": {}}]}, False),
        ):
            text = FORMATS[name].write([(tool, arguments)])
            assert _is_grammar_accept_string(grammar, text) == fits, text
