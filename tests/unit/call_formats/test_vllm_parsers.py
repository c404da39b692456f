"""The formats beside vLLM's own parsers of the same models, on calls with every kind of damage:
each disagreement has a reason named here.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cbdata.call_formats.base import Reading
from cbdata.call_formats.registry import FORMATS
from tests.unit.call_formats.given_calls import TOOLS, Calls, calls_of, is_whole, read, same

pytestmark = pytest.mark.vllm

PARSERS = {
    "deepseek_dsml": "deepseek_v32",
    "deepseek_v3": "deepseek_v3",
    "deepseek_v31": "deepseek_v31",
    "function_gemma": "functiongemma",
    "gemma4": "gemma4",
    "glm": "glm47",
    "granite": "granite",
    "hermes_json": "hermes",
    "internlm2": "internlm",
    "kimi_k2": "kimi_k2",
    "llama_json": "llama3_json",
    "minimax_m2": "minimax_m2",
    "mistral_args": "mistral",
    "mistral_list": "mistral",
    "openai_json": "xlam",
    "phi4": "phi4_mini_json",
    "pythonic": "pythonic",
    "qwen_xml": "qwen3_coder",
    "seed_oss": "seed_oss",
}
WITHOUT_PARSER = {
    "command_r": "needs a package that is not installed",
    "gemma_tool_code": "none",
    "harmony": "reads ids of gpt-oss alone",
    "llama_function": "none",
    "react": "none",
}
"""Formats without a parser in vLLM, and why."""

CALLS: dict[str, Calls] = {
    "one": [("first_tool", {"text": "Mars"})],
    "awkward": [("first_tool", {"text": 'a "b" \u00e9 }, <i>', "count": 3})],
    "nested": [("first_tool", {"items": ["x", "it's"], "more": {"a": [1, None, True]}})],
    "two": [("first_tool", {"text": "Mars"}), ("second_tool", {"text": "x, y", "count": 3})],
    "edges": [("first_tool", {"text": "\n two lines \n"})],
    "none": [("first_tool", {})],
}
WHOLE: dict[tuple[str, str], str] = {}


class Vocabulary:
    """What the parsers ask of a tokenizer: every marker is a token."""

    all_special_tokens: tuple[str, ...] = ()
    all_special_ids: tuple[int, ...] = ()

    def __init__(self, markers: tuple[str, ...]) -> None:
        self.ids = {marker: number for number, marker in enumerate(markers)}

    def get_vocab(self) -> dict[str, int]:
        return self.ids


def parsed_by_vllm(name: str, text: str) -> Calls | None:
    """The calls that vLLM finds; None where it raises or the arguments are no JSON."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.tool_parsers import ToolParserManager

    request = ChatCompletionRequest(messages=[], model="any", tools=list(TOOLS.tools))
    parser = ToolParserManager.get_tool_parser(PARSERS[name])
    try:
        made = parser(Vocabulary(FORMATS[name].all_markers), request.tools)
        found = made.extract_tool_calls(text, request).tool_calls
        return [(call.function.name, json.loads(call.function.arguments)) for call in found]
    except (ValueError, KeyError, TypeError):
        return None


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """vLLM logs a traceback for each text that it cannot read."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def written(name: str, calls: Calls) -> str:
    """The calls as the parser expects them: one knows another spelling of the same notation."""
    text = FORMATS[name].write(calls)
    if name == "phi4":
        return "functools" + text.removeprefix("<|tool_call|>").removesuffix("<|/tool_call|>")
    return text
