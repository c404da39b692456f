"""The tool schema as structured output: the JSON Schema of one call, for engines that can hold a
completion to a schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from cbdata.tools import ToolSchema, ToolSchemaError

ARGUMENT_KEYS = ("arguments", "parameters")


def call_schema(tools: ToolSchema, argument_key: str = "arguments") -> dict[str, Any]:
    """The JSON Schema of ``{"name": <a tool>, <argument_key>: <that tool's arguments>}``, one
    alternative a tool.

    Objects are closed, so that the model cannot fill a completion with invented arguments.
    ``argument_key`` is the key that the prompt's own format uses: ``arguments`` (Hermes, OpenAI) or
    ``parameters`` (Llama 3.1).
    """
    if argument_key not in ARGUMENT_KEYS:
        raise ValueError(f"argument_key {argument_key!r}: expected one of {ARGUMENT_KEYS}")
    alternatives = []
    for name in tools.names:
        parameters = {"type": "object", "properties": {}, **(tools.parameters(name) or {})}
        parameters.setdefault("additionalProperties", False)
        alternatives.append(
            {
                "type": "object",
                "properties": {"name": {"const": name}, argument_key: parameters},
                "required": ["name", argument_key],
                "additionalProperties": False,
            }
        )
    return {"anyOf": alternatives}


def argument_key(prompt_text: Callable[[list[dict[str, Any]]], str], tools: ToolSchema) -> str:
    """The key that a chat template writes a call's arguments under, found by rendering a call."""
    value = "probe of the argument key"
    call = {
        "call_id": "call_0",
        "function": {"name": tools.names[0], "arguments": {"probe": value}},
    }
    text = prompt_text(
        [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_0", "name": tools.names[0], "content": "."},
        ]
    )
    before = text.partition(value)[0]
    return max(ARGUMENT_KEYS, key=lambda key: before.rfind(f'"{key}"'))


def call_grammar(tools: ToolSchema, argument_key: str = "arguments") -> str:
    """``call_schema`` as a grammar (EBNF in xgrammar's dialect), the same text for both backends.

    From the JSON Schema itself, vLLM and xgrammar's processor for transformers would each make a
    grammar with white space of their own. Here a call is written as models write it, ``, `` and ``:
    `` between its parts and no white space elsewhere, so a weak model cannot spend its completion
    on line breaks. Raises ToolSchemaError for a schema that xgrammar cannot express.
    """
    import xgrammar

    try:
        return str(
            xgrammar.Grammar.from_json_schema(
                orjson.dumps(call_schema(tools, argument_key)).decode(), any_whitespace=False
            )
        )
    except (RuntimeError, ValueError) as error:
        raise ToolSchemaError(
            f"{tools.path}: the arguments cannot be held to their JSON Schema: {error}. Hint:"
            " simplify the schema, or constrain_tool_calls=false"
        ) from error
