"""The formats beside vLLM's own parsers of the same models, on calls with every kind of damage:
each disagreement has a reason named here.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

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
    "minimax_m1": "none; it was removed from vLLM before the pinned version",
    "react": "none",
    "solar": "none; the model's makers have one of their own",
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
STRINGS: Calls = [("first_tool", {"text": "Mars"}), ("second_tool", {"text": "x, y"})]

WHOLE = {
    ("function_gemma", "awkward"): "reads strings only",
    ("function_gemma", "nested"): "reads strings only",
    ("function_gemma", "two"): "reads strings only",
    ("gemma4", "nested"): "takes words and numbers inside an object for strings",
    ("internlm2", "two"): "unpacks a split in two parts and raises",
    ("phi4", "nested"): "its pattern ends at the first closing bracket, inside the list",
    ("seed_oss", "edges"): "strips a line break that the template never puts there",
    ("seed_oss", "nested"): "takes str(value), which the template prints, for text",
}
"""Whole calls, as the templates print them, that a parser reads otherwise, and why."""

FAULTS = {
    "not closed": "takes calls and strings that never end, so that a cut answer passes",
    "without calls and": "reads calls alone and drops what else stands in their section",
    "opens no section": "reads a call outside a section, or skips the text before the next one",
    "behind a call's arguments": "drops a call without its end, or reads it up to the next one's",
    "without call:name": "strips white space before a name, or takes brackets for a part of it",
    "without a name": "strips white space before a name, takes any text for one, or skips the call",
    "without a tool's name": "takes any text for a name, or skips the call",
    "no name with": "takes any text for a name",
    "without a call": "skips what is no call",
    "an argument without": "reads an argument up to the next tag, whichever it is",
    "text behind an argument's": "takes what is no JSON for text",
    "neither a string": "takes bare text for a string, or drops the argument",
    "neither a comma": "skips what stands between two arguments, or drops the argument",
    "no key with its colon": "drops what has no key, or takes any text for a key",
    "no colon behind a key": "drops what has no key",
    "a marker inside a string": "takes the rest of a broken marker for text, or drops the argument",
    "a number unreadable": "takes what is no number for text",
    "no part of a call": "takes objects with any keys, and a call without a name",
    "the object has no": "takes a call without a name or arguments",
    "no JSON object": "skips what is no object in the list of calls",
    "JSON unreadable": "hands arguments on as text, unread, or skips the call",
    "not an object": "hands arguments on that are no object",
    "unknown to the schema": "takes what the schema does not know for text",
    "is not integer": "takes text for what should be a number",
}
"""Where a format says that there is a fault and vLLM's parser finds something: the fault, and what
vLLM does instead, for a client that would rather have a call than none.
"""


class Habit(NamedTuple):
    """What some parsers do to a text that is read whole here.

    ``leads_to``: whether it leads from these calls to those that vLLM finds (None: no JSON).
    """

    names: tuple[str, ...]
    why: str
    leads_to: Callable[[Reading, Calls | None], bool]


def changed(calls: Calls, change: Callable[[Any], Any]) -> Calls:
    return [(tool, {key: change(value) for key, value in given.items()}) for tool, given in calls]


def known(calls: Calls) -> Calls:
    return [(tool, given) for tool, given in calls if tool in TOOLS.names]


def without_line_breaks(value: Any) -> Any:
    return value.removeprefix("\n").removesuffix("\n") if isinstance(value, str) else value


def odd_words(reading: Reading) -> bool:
    words = [word for tool, given in calls_of(reading) for word in (tool, *given)]
    return any(not re.fullmatch(r"\w+", word) for word in words)


HABITS = (
    Habit(
        ("deepseek_v3", "deepseek_v31"),
        "skips a call with another line break in it than its own",
        lambda ours, theirs: theirs in ([], *([call] for call in calls_of(ours))),
    ),
    Habit(
        ("function_gemma",),
        "reads names and keys of letters, and no white space around a value",
        lambda ours, theirs: (
            odd_words(ours) or any(": " in c.raw or ":\n" in c.raw for c in ours.calls)
        ),
    ),
    Habit(
        ("gemma4",),
        "takes numbers for strings where the schema does not know them",
        lambda ours, theirs: changed(calls_of(ours), str) == changed(theirs or [], str),
    ),
    Habit(
        ("glm", "minimax_m2"),
        "drops a tool that was not offered; here it is read, and judged unknown_tool",
        lambda ours, theirs: same(known(calls_of(ours)), theirs or []),
    ),
    Habit(
        ("internlm2",),
        "raises on a second block",
        lambda ours, theirs: theirs is None and len(ours.calls) > 1,
    ),
    Habit(
        ("llama_json", "openai_json", "pythonic"),
        "reads an answer that is calls from its first character to its last, or nothing",
        lambda ours, theirs: theirs == [],
    ),
    Habit(
        ("llama_json", "openai_json"),
        "skips what stands between objects",
        lambda ours, theirs: bool(ours.prose),
    ),
    Habit(
        ("mistral_list", "phi4"),
        "reads one block",
        lambda ours, theirs: theirs == calls_of(ours)[: len(theirs or ())] and bool(theirs),
    ),
    Habit(
        ("qwen_xml", "seed_oss", "minimax_m2"),
        "needs no marker around a call",
        lambda ours, theirs: bool(ours.prose) and len(theirs or ()) > len(ours.calls),
    ),
    Habit(
        ("seed_oss",),
        "strips a line break on either side of a value, which is the value's own here",
        lambda ours, theirs: same(changed(calls_of(ours), without_line_breaks), theirs or []),
    ),
)


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


def test_every_format_has_a_parser_or_a_reason() -> None:
    assert PARSERS.keys() | WITHOUT_PARSER.keys() == FORMATS.keys()


@pytest.mark.parametrize("case", sorted(CALLS))
@pytest.mark.parametrize("name", sorted(PARSERS))
def test_whole_calls_are_read_alike(name: str, case: str) -> None:
    calls = CALLS[case]
    text = written(name, calls)
    reading = read(FORMATS[name], text)
    assert is_whole(reading) and same(calls_of(reading), calls)
    theirs = parsed_by_vllm(name, text)
    assert same(theirs or [], calls) != ((name, case) in WHOLE), theirs


PLACES = 100


def damaged(text: str) -> Iterator[str]:
    """A text whole, cut off, with a character left out, with one too many, twice, and in prose."""
    yield text
    for at in range(0, len(text), 1 + len(text) // PLACES):
        yield text[:at]
        yield text[:at] + text[at + 1 :]
        yield from (text[:at] + extra + text[at:] for extra in '}"\nx')
    yield f"{text}{text}"
    yield f"One moment.\n{text}"
    yield f"{text}\nDone."


def explanation(name: str, ours: Reading, theirs: Calls | None) -> str | None:
    """Why the two differ, or None."""
    if ours.fault:
        return next((why for fault, why in FAULTS.items() if fault in ours.fault.reason), None)
    return next(
        (each.why for each in HABITS if name in each.names and each.leads_to(ours, theirs)), None
    )


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_every_disagreement_has_a_reason(name: str) -> None:
    two = STRINGS if name == "function_gemma" else CALLS["two"]
    agreed, unexplained = 0, []
    for text in sorted(
        {each for calls in (CALLS["one"], two) for each in damaged(written(name, calls))}
    ):
        ours = read(FORMATS[name], text)
        wanted = [] if ours.fault else calls_of(ours)
        theirs = parsed_by_vllm(name, text)
        if theirs is not None and same(theirs, wanted):
            agreed += bool(wanted)
        elif explanation(name, ours, theirs) is None:
            unexplained.append((text, ours.fault, wanted, theirs))
    assert unexplained == []
    assert agreed > 50
