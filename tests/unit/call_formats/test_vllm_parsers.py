"""Call formats beside vLLM's own tool parsers: what a format accepts, the parser reads the same,
and each disagreement has its reason here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import FORMATS
from cbdata.ids import canonical_json
from cbdata.judge.reading import Parsed, ReadingRules, read_completion
from tests.unit.call_formats.tools import two_tools

pytestmark = pytest.mark.vllm

PROPERTIES = {
    "query": {"type": "string"},
    "count": {"type": "integer"},
    "items": {"type": "array", "items": {"type": "string"}},
    "more": {"type": "object"},
}
TOOLS = two_tools(PROPERTIES)
PARSERS = {
    "glm": "glm47",
    "granite": "granite",
    "internlm2": "internlm",
    "kimi_k2": "kimi_k2",
    "minimax_m2": "minimax_m2",
    "openai_json": "xlam",
    "phi4": "phi4_mini_json",
    "seed_oss": "seed_oss",
}
"""Command R's parser needs a package that is not installed; nobody has one for ReAct."""

Calls = list[tuple[str, dict[str, Any]]]
PLAIN: Calls = [("first_tool", {"query": 'a "b" \u00e9 <i>', "count": 3})]
LISTS: Calls = [("first_tool", {"items": ["x", "it's"], "more": {"a": [1, None, True]}})]
TWO: Calls = [*PLAIN, ("second_tool", {"query": "tides"})]
EDGES: Calls = [("first_tool", {"query": "\n two lines \n"})]
WHOLE = {"plain": PLAIN, "lists": LISTS, "two": TWO, "edges": EDGES, "none": [("first_tool", {})]}

DIFFERS = {
    ("seed_oss", "lists"): "the template prints str(value), which the parser keeps as text",
    ("seed_oss", "edges"): "the parser strips a line break that the template never puts there",
    ("phi4", "lists"): "the parser's pattern ends at the first closing bracket, inside the list",
    ("internlm2", "two"): "the parser unpacks a split in two parts and raises",
}


class Tokenizer:
    """As much of a tokenizer as the parsers ask for: every marker is a token."""

    def __init__(self, markers: tuple[str, ...]) -> None:
        self.vocabulary = {marker: number for number, marker in enumerate(markers)}

    def get_vocab(self) -> dict[str, int]:
        return self.vocabulary


def written(name: str, calls: Calls) -> str:
    """The calls as the parser expects them: two know another spelling of the same notation."""
    text = FORMATS[name].write(calls)
    if name == "phi4":
        return "functools" + text.removeprefix("<|tool_call|>").removesuffix("<|/tool_call|>")
    return text


def parsed_by_vllm(name: str, text: str) -> Calls | None:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.tool_parsers import ToolParserManager

    request = ChatCompletionRequest(messages=[], model="m", tools=list(TOOLS.tools))
    parser = ToolParserManager.get_tool_parser(PARSERS[name])
    try:
        found = parser(Tokenizer(FORMATS[name].all_markers), request.tools).extract_tool_calls(
            text, request
        )
        return [
            (call.function.name, json.loads(call.function.arguments)) for call in found.tool_calls
        ]
    except (ValueError, KeyError, TypeError):
        return None


def parsed_here(name: str, text: str) -> Parsed:
    return read_completion(Completion.spelled(text), TOOLS, ReadingRules(name))


def calls_of(found: Parsed) -> Calls:
    return [(call.name, call.arguments) for call in found.calls]


@pytest.mark.parametrize("case", sorted(WHOLE))
@pytest.mark.parametrize("name", sorted(PARSERS))
def test_whole_calls(name: str, case: str) -> None:
    calls = WHOLE[case]
    text = written(name, calls)
    here = parsed_here(name, text)
    assert here.kind == "calls", here.detail
    assert canonical_json(calls_of(here)) == canonical_json(calls)
    same = canonical_json(parsed_by_vllm(name, text)) == canonical_json(calls)
    assert same != ((name, case) in DIFFERS), parsed_by_vllm(name, text)


def damaged(text: str) -> Iterator[str]:
    """Cut off anywhere, a character left out, a character or a marker too many."""
    for at in range(len(text)):
        yield text[:at]
        yield text[:at] + text[at + 1 :]
        yield from (text[:at] + extra + text[at:] for extra in '}"\nx')
    yield f"{text}{text}"
    yield f"One moment.\n{text}"
    yield f"{text}\nDone."


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_what_is_accepted_of_damaged_calls(name: str) -> None:
    """The parsers repair and take what they find, so that they accept more; what is accepted here
    they read the same.
    """
    explained = []
    for text in damaged(written(name, PLAIN)):
        here = parsed_here(name, text)
        if here.kind != "calls":
            continue
        there = parsed_by_vllm(name, text)
        if canonical_json(there) != canonical_json(calls_of(here)):
            explained.append((text, there, calls_of(here)))
    assert [each for each in explained if not _explained(name, *each)] == []


def _explained(name: str, text: str, there: Calls | None, here: Calls) -> bool:
    """Whether the parser is known to read such a text otherwise, or not at all."""
    if name in ("glm", "minimax_m2") and any(tool not in TOOLS.names for tool, _ in here):
        # They drop a tool that was not offered; here it is read, and judged unknown_tool.
        return all(tool in TOOLS.names for tool, _ in there or [])
    if name in ("internlm2", "openai_json", "phi4") and len(here) == 2:
        # They read one block and lose the second, or raise.
        return not there or there == here[:1]
    if name == "seed_oss":
        # It strips a line break on either side of a value, which is the value's own here.
        stripped = [
            (tool, {key: _without_edges(value) for key, value in arguments.items()})
            for tool, arguments in here
        ]
        return canonical_json(there) == canonical_json(stripped)
    return False


def _without_edges(value: Any) -> Any:
    return value.removeprefix("\n").removesuffix("\n") if isinstance(value, str) else value
