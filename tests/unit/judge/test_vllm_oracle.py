"""The parser beside vLLM's own tool parsers, on completions with every kind of damage: each
disagreement has a reason named here.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.judge.parser import END_TOKENS, Parsed, parse_completion

pytestmark = pytest.mark.vllm

WEB = '{"name": "search_web", "parameters": {"query": "Mars"}}'
DOCS = '{"name": "get_docs", "arguments": {"query": "a } b"}}'
PYTHON = "search_web(query='Mars', n=[1, {'a': True}])"

BASES = [
    *(
        WEB,
        f"<|python_tag|>{WEB}",
        f"<|python_tag|>{WEB}; {DOCS}",
        f"[{WEB}, {DOCS}]",
        f"Sure. {WEB} ok",
        f"```json\n{WEB}\n```",
    ),
    *(
        f"<tool_call>\n{DOCS}\n</tool_call>",
        f"<tool_call>{DOCS}</tool_call>\n<tool_call>{DOCS}</tool_call>",
        f"<tool_call>{WEB}</tool_call>",
    ),
    *(f"[{PYTHON}, get_docs()]", PYTHON, f"<|python_tag|>{PYTHON}"),
]
ODDITIES = [
    f"{WEB} {{see above}}",
    f"A set {{1, 2}}, then {WEB}",
    f'{WEB}\n{{"answer": 1}}',
    f'{{"type": "function", "function": {DOCS}}}',
    '{"name": "a", "arguments": "{\\"x\\": 1}"}',
    '<tool_call>{"name": "a", "arguments": "{\\"x\\": 1}"}</tool_call>',
    '<tool_call>{"name": "a", "arguments": {"x": "</tool_call>"}}</tool_call>',
    '{"name": "a", "arguments": {"x": "<tool_call>"}}',
    f"<think>Maybe {WEB}</think>No.",
    f"<think>Maybe <tool_call>{DOCS}</tool_call></think>No.",
    '{"name": "s", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}',
    '{"name": "a", "parameters": {}, "arguments": {"x": 1}}',
    '{"name": "a", "parameters": {"x": 1, "x": 2}}',
    '{"name": "a", "parameters": {"x": NaN}}',
    '{"name": "a", "parameters": {"x": "\\ud800"}}',
    '{"name": "a", "parameters": ["x"]}',
    '{"name": "a", "parameters": null}',
    '{"name": "a", "parameters": {"x": ' + "[" * 150 + "]" * 150 + "}}",
    "[search_web('Mars')]",
    "[search_web(query='Mars', n=(1, 2))]",
    "[search_web(query=Mars)]",
    "[search_web (query='Mars')]",
    f"{WEB}; {PYTHON}",
    f"<tool_call>{DOCS}</tool_call> {WEB}",
    f"<tool_call>{DOCS}\n{DOCS}</tool_call>",
    f"<tool_call>{PYTHON}</tool_call>",
]


def damaged() -> Iterator[str]:
    """The bases whole, cut off anywhere, with any character left out, and with one too many
    anywhere.
    """
    for text in BASES:
        yield text
        for at in range(len(text)):
            yield text[:at]
            yield text[:at] + text[at + 1 :]
            yield from (text[:at] + extra + text[at:] for extra in '{}"\n;x')


FAULTS = {
    "llama3_json": {
        "</tool_call> without <tool_call>": "looks at braces only, not at markup",
        "<tool_call> that is not closed": "looks at braces only, not at markup",
        "no call after the markup": (
            "looks at braces only, not at what stands between the tag and the brace"
        ),
        "brackets left over": "skips what stands between objects",
        "a list of calls that is not closed": "skips what stands between objects",
        "a list of calls that does not go on": "skips what stands between objects",
        "not a value": "takes NaN, which no JSON file may hold",
        "bad string": "takes lone surrogates, which no UTF-8 file can hold",
        "nested too deeply": "has no limit but the interpreter's stack",
        "repeated key": "takes the last of two values",
        "both arguments and parameters": "takes arguments and drops parameters",
        "the arguments are not an object": "does not look at the type of the arguments",
    },
    "hermes": {
        "</tool_call> without <tool_call>": (
            "looks for blocks only, so the call outside one is lost in silence"
        ),
        "<tool_call> that is not closed": (
            "takes an unclosed block, so a cut answer passes as a complete one"
        ),
        "brackets left over": "skips what stands between blocks",
    },
    "pythonic": {
        "an argument without its name": "drops arguments without a name and calls without them",
        "a list of calls that does not go on": (
            "Python allows white space between a name and its bracket"
        ),
        "argument unreadable": "makes a list of a tuple, which JSON does not have",
    },
}
"""Where the project's parser says malformed and vLLM's finds calls: the fault, and why vLLM does
not see it.
"""


def explanation(parser: str, text: str, ours: Parsed, theirs: list[tuple[str, Any]]) -> str | None:
    """Why the two differ, or None."""
    wanted = [(call.name, call.arguments) for call in ours.calls]
    outside = text
    for call in reversed(ours.calls):
        outside = outside[: call.start] + outside[call.end :]
    if ours.kind == "malformed":
        return next(
            (f"{fault}: {why}" for fault, why in FAULTS[parser].items() if fault in ours.detail),
            None,
        )
    if ours.kind == "no_call":
        if ours.thinking:
            return "takes calls that the model only thought of"
        if '"properties"' in text:
            return "takes a tool's definition for a call"
        return "does without the argument's name" if parser == "pythonic" and theirs else None
    if any(call.arguments_json for call in ours.calls) and len(theirs) == len(wanted):
        return "encodes arguments that are a string of JSON once more"
    if parser == "llama3_json":
        if any(call.form == "python" for call in ours.calls):
            return "reads no Python calls"
        if "{" in outside:
            return "gives up all calls for any other brace in the text"
        return "does not look inside function" if '"function": {' in text and not theirs else None
    if parser == "hermes":
        blocks = [call for call in ours.calls if call.markup == "tool_call"]
        if "<tool_call>" in "".join(call.raw for call in ours.calls) or "</tool_call>" in "".join(
            call.raw for call in ours.calls
        ):
            return "takes a tag inside a string for markup"
        if any("parameters" in call.raw for call in blocks):
            return "knows arguments only, not parameters"
        if any(call.form == "python" for call in blocks) or len(blocks) > outside.count(
            "<tool_call>"
        ):
            return "reads one JSON object a block"
        return (
            "reads blocks only"
            if len(blocks) < len(wanted) and theirs == wanted[: len(blocks)]
            else None
        )
    if "\n" in text.strip() and not theirs:
        return "reads no list with a line break before a name or a value"
    whole_list = (
        text.startswith("[")
        and text.endswith("]")
        and all(call.form == "python" for call in ours.calls)
    )
    return "reads only a list that is the whole text" if not whole_list and not theirs else None


class _Vocabulary:
    """What the parsers ask of a tokenizer."""

    def get_vocab(self) -> dict[str, int]:
        return {"<|python_tag|>": 0}


@pytest.fixture(scope="module")
def oracles() -> dict[str, Any]:
    """vLLM's parsers: text to a list of (name, arguments)."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.tool_parsers import ToolParserManager

    request = ChatCompletionRequest(messages=[], model="any")

    def reader(name: str):
        parser = ToolParserManager.get_tool_parser(name)(_Vocabulary(), None)

        def read(text: str) -> list[tuple[str, Any]]:
            found = parser.extract_tool_calls(text, request)
            return [
                (call.function.name, json.loads(call.function.arguments))
                for call in found.tool_calls
            ]

        return read

    return {name: reader(name) for name in ("llama3_json", "hermes", "pythonic")}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """vLLM logs a traceback for each text that it cannot read."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def compare(
    texts: list[str], oracles: dict[str, Any]
) -> tuple[Counter[str], Counter[str], list[Any]]:
    """Agreements on calls by parser, explained disagreements by reason, and the rest."""
    agreed: Counter[str] = Counter()
    explained: Counter[str] = Counter()
    rest = []
    for text in texts:
        ours = parse_completion(text)
        wanted = (
            [(call.name, call.arguments) for call in ours.calls] if ours.kind == "calls" else []
        )
        for name, read in oracles.items():
            theirs = read(text)
            if repr(theirs) == repr(wanted):
                agreed[name] += bool(wanted)
            elif reason := explanation(name, text, ours, theirs):
                explained[f"{name}: {reason}"] += 1
            else:
                rest.append((name, text, ours, theirs))
    return agreed, explained, rest


def test_every_disagreement_has_a_reason(oracles: dict[str, Any]) -> None:
    texts = sorted({*damaged(), *ODDITIES})
    agreed, explained, rest = compare(texts, oracles)
    assert rest == []
    assert agreed["llama3_json"] > 1000 and agreed["hermes"] > 300 and agreed["pythonic"] > 100
    unused = {
        f"{name}: {fault}: {why}"
        for name, faults in FAULTS.items()
        for fault, why in faults.items()
    } - set(explained)
    assert not unused


def test_each_parser_agrees_on_its_own_form(oracles: dict[str, Any]) -> None:
    own = {"llama3_json": BASES[:6], "hermes": BASES[6:8], "pythonic": BASES[9:10]}
    for name, texts in own.items():
        agreed, _, _ = compare(texts, {name: oracles[name]})
        assert agreed[name] == len(texts)


def test_completions_of_a_small_model(oracles: dict[str, Any], repo: Path) -> None:
    rows = [
        orjson.loads(line)
        for line in (
            (repo / "tests" / "data" / "completions" / "smollm2.jsonl").read_bytes().splitlines()
        )
    ]
    texts = []
    for row in rows:
        text = row["completion"]
        for (
            token
        ) in END_TOKENS:  # the engine takes the stop token off before its parsers see the text
            text = text.removesuffix(token)
        texts.append(text)
        assert parse_completion(row["completion"]).kind == (
            "malformed" if row["finish_reason"] == "length" else "calls"
        )
    agreed, explained, rest = compare(texts, oracles)
    assert rest == []
    assert agreed["llama3_json"] == sum(row["finish_reason"] == "stop" for row in rows)
    assert not any(reason.startswith("llama3_json") for reason in explained)
