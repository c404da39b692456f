"""Grammars for constrained generation: what xgrammar makes of the tools' JSON Schemas, with a
format's markup around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from cbdata.call_formats.base import NO_TOKENS, Tokens, any_of
from cbdata.tools import ToolSchema, ToolSchemaError


def arguments_schema(tools: ToolSchema, name: str) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments, closed, so that the model cannot fill a completion
    with invented ones.
    """
    parameters = {"type": "object", "properties": {}, **(tools.parameters(name) or {})}
    parameters.setdefault("additionalProperties", False)
    return parameters


def call_schema(tools: ToolSchema, argument_key: str) -> dict[str, Any]:
    """The JSON Schema of ``{"name": <a tool>, <argument_key>: <that tool's arguments>}``, one
    alternative a tool.

    Arguments that refer to parts of their own schema (``#/$defs/Kind``) stand under ``$defs`` of
    the whole, with these references leading there.
    """
    alternatives, shared = [], {}
    for index, name in enumerate(tools.names):
        arguments = arguments_schema(tools, name)
        moved = _moved(arguments, f"#/$defs/{index}")
        if moved != arguments:
            shared[str(index)], arguments = moved, {"$ref": f"#/$defs/{index}"}
        alternatives.append(
            {
                "type": "object",
                "properties": {"name": {"const": name}, argument_key: arguments},
                "required": ["name", argument_key],
                "additionalProperties": False,
            }
        )
    return {"anyOf": alternatives, **({"$defs": shared} if shared else {})}


NAMED_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")
VALUES = ("const", "enum", "default", "examples")
"""Keys of a JSON Schema under which schemas stand by names, and values that are no schemas."""


def _moved(schema: Any, root: str) -> Any:
    """A JSON Schema whose references into itself begin at ``root``."""
    if isinstance(schema, list):
        return [_moved(each, root) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = dict(schema)
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str) and value.startswith("#"):
            moved[key] = root + value[1:]
        elif key in NAMED_SCHEMAS and isinstance(value, dict):
            moved[key] = {name: _moved(each, root) for name, each in value.items()}
        elif key not in VALUES:
            moved[key] = _moved(value, root)
    return moved


def call_grammar(
    tools: ToolSchema,
    argument_key: str,
    before: str = "",
    after: str = "",
    tokens: Tokens = NO_TOKENS,
) -> str:
    """A call object between two texts, as EBNF in xgrammar's dialect, the same for both backends.

    From the JSON Schema itself, vLLM and xgrammar's processor for transformers would each make a
    grammar with white space of their own. Here a call is written as models write it, ``, `` and ``:
    `` between its parts and no white space elsewhere, so a weak model cannot spend its completion
    on line breaks.

    Args:
        tools: the tools.
        argument_key: the key of a call's arguments.
        before: the fixed text before the object.
        after: the fixed text behind it.
        tokens: control tokens, which fixed texts are written with.

    Raises:
        ToolSchemaError: xgrammar cannot express the schema.
    """
    return between(before, json_grammar(tools, call_schema(tools, argument_key)), after, tokens)


def named_grammar(
    tools: ToolSchema, before: Callable[[str], str], after: str, tokens: Tokens = NO_TOKENS
) -> str:
    """A call whose name stands before its arguments, as EBNF, one alternative a tool.

    Args:
        tools: the tools.
        before: a tool's name to the fixed text before its arguments.
        after: the fixed text behind them; may be empty.
        tokens: control tokens, which fixed texts are written with.

    Raises:
        ToolSchemaError: xgrammar cannot express the schema.
    """
    import xgrammar

    alternatives = [
        between(before(name), json_grammar(tools, arguments_schema(tools, name)), after, tokens)
        for name in tools.names
    ]
    return str(xgrammar.Grammar.union(*map(xgrammar.Grammar.from_ebnf, alternatives)))


def json_grammar(tools: ToolSchema, schema: dict[str, Any]) -> Any:
    """xgrammar's grammar of a JSON Schema. Raises ToolSchemaError."""
    import xgrammar

    try:
        return xgrammar.Grammar.from_json_schema(
            orjson.dumps(schema).decode(), any_whitespace=False
        )
    except (RuntimeError, ValueError) as error:
        raise ToolSchemaError(
            f"{tools.path}: the arguments cannot be held to their JSON Schema: {error}. Hint:"
            " simplify the schema, or constrain_tool_calls=false"
        ) from error


def between(before: str, grammar: Any, after: str, tokens: Tokens = NO_TOKENS) -> str:
    """Write a grammar with fixed texts around it as EBNF.

    Args:
        before: The text before it; may be empty.
        grammar: xgrammar's grammar of what stands between.
        after: The text behind it; may be empty.
        tokens: The control tokens, which the texts then hold as tokens.
    """
    import xgrammar

    parts = [
        *([xgrammar.Grammar.from_ebnf(f"root ::= {fixed(before, tokens)}")] if before else []),
        grammar,
        *([xgrammar.Grammar.from_ebnf(f"root ::= {fixed(after, tokens)}")] if after else []),
    ]
    return str(xgrammar.Grammar.concat(*parts) if len(parts) > 1 else grammar)


def fixed(text: str, tokens: Tokens) -> str:
    """A fixed text in EBNF: control tokens as ``Token(id)``, letters as they are."""
    pieces = re.split(f"({any_of(tokens)})", text) if tokens else [text]
    return " ".join(
        f"Token({tokens[piece]})" if piece in tokens else orjson.dumps(piece).decode()
        for piece in pieces
        if piece
    )
