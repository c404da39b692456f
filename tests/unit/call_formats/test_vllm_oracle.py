"""The formats beside vLLM's own parsers of the same models, on calls with every kind of damage:
each disagreement has a reason named here.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cbdata.call_formats.base import Reading
from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import FORMATS

pytestmark = pytest.mark.vllm

Calls = list[tuple[str, Any]]

PARSERS = {
    "function_gemma": "functiongemma",
    "gemma4": "gemma4",
    "mistral_list": "mistral",
    "mistral_args": "mistral",
    "deepseek_v3": "deepseek_v3",
    "deepseek_v31": "deepseek_v31",
    "deepseek_dsml": "deepseek_v32",
}
"""A format and its parser in vLLM, which has none for tool_code."""

CALLS: list[Calls] = [
    [("search_web", {"query": "Mars"})],
    [("search_web", {"query": "Mars"}), ("get_docs", {"query": "a } b", "place": "x, y"})],
]
EXTRA = '{}"\n;x<['
FAULTS = {
    "not closed": "takes calls and strings that never end, so that a cut answer passes",
    "without calls and": "reads calls alone and drops what else stands in their section",
    "without call:name": "strips white space before a name, or takes brackets for a part of it",
    "without a name": "strips white space before a name, takes any text for one, or skips the call",
    "without a list": "takes an object without a list, or skips what stands before it",
    "opens no section": "reads a call outside a section, or skips the text before the next one",
    "neither a string": "takes bare text for a string, or drops the argument",
    "neither a comma": "skips what stands between two arguments, or drops the argument",
    "no key with its colon": "drops what has no key, or takes any text for a key",
    "no colon behind a key": "drops what has no key",
    "a marker inside a string": "takes the rest of a broken marker for text, or drops the argument",
    "no part of a call": "takes objects with any keys, and a call without a name",
    "no JSON object": "skips what is no object in the list of calls",
    "JSON unreadable": "hands arguments on as text, unread, or skips the call",
    "not an object": "hands arguments on that are no object",
}
"""Where a format says that there is a fault and vLLM's parser finds something: the fault, and what
vLLM does instead, for a client that would rather have a call than none.
"""


def damaged(text: str) -> Iterator[str]:
    """A text whole, cut off anywhere, with any character left out, and with one too many."""
    yield text
    for at in range(len(text)):
        yield text[:at]
        yield text[:at] + text[at + 1 :]
        yield from (text[:at] + extra + text[at:] for extra in EXTRA)


class _Vocabulary:
    """What the parsers ask of a tokenizer."""

    all_special_tokens: tuple[str, ...] = ()
    all_special_ids: tuple[int, ...] = ()

    def __init__(self, markers: tuple[str, ...]) -> None:
        self.ids = {marker: number for number, marker in enumerate(markers)}

    def get_vocab(self) -> dict[str, int]:
        return self.ids


@pytest.fixture(scope="module")
def oracles() -> dict[str, Callable[[str], Calls | None]]:
    """vLLM's parsers: text to calls, or None where the arguments are no JSON."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.tool_parsers import ToolParserManager

    request = ChatCompletionRequest(messages=[], model="any")

    def reader(name: str) -> Callable[[str], Calls | None]:
        parser_class = ToolParserManager.get_tool_parser(PARSERS[name])
        vocabulary = _Vocabulary(FORMATS[name].all_markers)

        def read(text: str) -> Calls | None:
            found = parser_class(vocabulary, None).extract_tool_calls(text, request).tool_calls
            try:
                return [(call.function.name, json.loads(call.function.arguments)) for call in found]
            except json.JSONDecodeError:
                return None

        return read

    return {name: reader(name) for name in PARSERS}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """vLLM logs a traceback for each text that it cannot read."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def explanation(name: str, text: str, ours: Reading, theirs: Calls | None) -> str | None:
    """Why the two differ, or None."""
    if ours.fault:
        return next((why for fault, why in FAULTS.items() if fault in ours.fault.reason), None)
    if name == "function_gemma":
        odd_name = any(not call.name.replace("_", "a").isalnum() for call in ours.calls)
        if odd_name:
            return "names and keys have letters, digits and underscores only"
        odd_key = any(not key.isidentifier() for call in ours.calls for key in call.arguments)
        nested = any(not isinstance(v, str) for call in ours.calls for v in call.arguments.values())
        spaced = any(":" + space in text for space in "\n ")
        return "reads key:<escape>text<escape> only" if odd_key or nested or spaced else None
    if name.startswith("deepseek_v3"):
        own = 3 if name == "deepseek_v3" else 0
        more = any(text.count("\n", call.start, call.end) > own for call in ours.calls)
        less = any(text.count("\n", call.start, call.end) < own for call in ours.calls)
        return "reads no line break but its own inside a call" if more and not less else None
    return None


def test_whole_calls_are_read_alike(oracles: dict[str, Any]) -> None:
    for name, read in oracles.items():
        for calls in CALLS:
            text = FORMATS[name].write(calls)
            view, _ = Completion.spelled(text).view(FORMATS[name])
            ours = FORMATS[name].read(view)
            assert [(call.name, call.arguments) for call in ours.calls] == calls
            assert read(text) == calls, name


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_every_disagreement_has_a_reason(name: str, oracles: dict[str, Any]) -> None:
    agreed = 0
    explained: Counter[str] = Counter()
    rest = []
    for text in sorted({each for calls in CALLS for each in damaged(FORMATS[name].write(calls))}):
        view, _ = Completion.spelled(text).view(FORMATS[name])
        ours = FORMATS[name].read(view)
        wanted = [(call.name, call.arguments) for call in ours.calls] if not ours.fault else []
        theirs = oracles[name](text)
        if theirs == wanted:
            agreed += bool(wanted)
        elif reason := explanation(name, text, ours, theirs):
            explained[reason] += 1
        else:
            rest.append((text, wanted, theirs))
    assert rest == []
    assert agreed > 100
