"""The conversations that are rendered: real transcripts as they are, and the same with a unique
word at every place that must be found again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LETTERS = "bcdfghjklmnprstvwxz"  # no vowels, so that no word of a language comes out
WORD_LENGTH = 8


@dataclass(frozen=True)
class Word:
    """A unique word and where it was put.

    Attributes:
        text: The word.
        kind: ``content``, ``thinking`` or ``call``.
        message: Index of the message.
        call: Index of the call, -1 outside calls.
    """

    text: str
    kind: str
    message: int
    call: int = -1


@dataclass(frozen=True)
class Conversation:
    """A trace to render and the words in it; ``tools`` are its suite's, as OpenAI-style schemas."""

    trace: dict[str, Any]
    words: tuple[Word, ...]
    tools: tuple[dict[str, Any], ...]

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The trace's messages, in the form of trace_v1."""
        return self.trace["messages"]

    def calls(self) -> Iterator[tuple[int, int, str]]:
        """Message index, call index and tool name of every call, in order."""
        for index, message in enumerate(self.messages):
            for number, call in enumerate(message.get("tool_calls") or ()):
                yield index, number, call["function"]["name"]


def load_traces(raw: Path, root: Path, folder: Path) -> list[dict[str, Any]]:
    """The AgentDojo transcripts of a folder or file as trace_v1 with an assistant turn in each.

    Args:
        raw: The exported transcripts.
        root: The project's root, for the suites' tool schemas.
        folder: Where the converted file goes.
    """
    from cbdata.sources.agentdojo import convert
    from cbdata.stage import StageFiles

    out = folder / "traces.jsonl"
    convert(
        [str(raw)],
        split="train",
        outputs=StageFiles.of(out, folder / "rejects.jsonl", folder / "stats.json"),
        max_reject_fraction=1.0,
        tool_schemas=sorted((root / "configs" / "tool_schemas").glob("agentdojo_*_v1.json")),
    )
    traces = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return [
        trace
        for trace in traces
        if any(message["role"] == "assistant" for message in trace["messages"])
    ]


def sample(traces: Sequence[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """``size`` traces spread evenly over the list (all of them for 0)."""
    if not size or size >= len(traces):
        return list(traces)
    return [traces[index * len(traces) // size] for index in range(size)]


class WordMaker:
    """Makes words of eight consonants that stand nowhere else."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self) -> str:
        """The next word."""
        number, word = self._count * 7919 + 12345, ""
        self._count += 1
        for _ in range(WORD_LENGTH - 2):
            number, letter = divmod(number, len(LETTERS))
            word += LETTERS[letter]
        return f"q{word}q"


def as_is(trace: dict[str, Any], tools: Mapping[str, tuple[dict[str, Any], ...]]) -> Conversation:
    """The trace without words."""
    return Conversation(trace, (), _tools_of(trace, tools))


def with_words(
    trace: dict[str, Any],
    tools: Mapping[str, tuple[dict[str, Any], ...]],
    *,
    reasoning: bool,
) -> Conversation:
    """The trace with a word at both ends of every content, and one in every call's arguments.

    Args:
        trace: A trace_v1.
        tools: The tools of each tool schema version.
        reasoning: Whether every assistant message gets reasoning too, with a word at both ends.
    """
    trace = copy.deepcopy(trace)
    trace["signal_hints"] = {}
    trace.pop("tool_attack", None)
    make, words = WordMaker(), []

    def word(kind: str, message: int, call: int = -1) -> str:
        words.append(Word(make(), kind, message, call))
        return words[-1].text

    for index, message in enumerate(trace["messages"]):
        if reasoning and message["role"] == "assistant":
            first = word("thinking", index)
            message["thinking"] = f"{first} let me see\n\nwhat is next {word('thinking', index)}"
        else:
            message.pop("thinking", None)
        if message["content"].strip():
            first = word("content", index)
            message["content"] = f"{first} {message['content'].strip()} {word('content', index)}"
        for number, call in enumerate(message.get("tool_calls") or ()):
            call["function"]["arguments"]["note"] = word("call", index, number)
    return Conversation(trace, tuple(words), _tools_of(trace, tools))


def without_calls(
    trace: dict[str, Any], tools: Mapping[str, tuple[dict[str, Any], ...]]
) -> Conversation:
    """What user and assistant say to each other in the trace, in turns, with words; for templates
    that know no tools.
    """
    kept: list[dict[str, Any]] = []
    for message in trace["messages"]:
        if message["role"] == "tool" or not message["content"].strip():
            continue
        if kept and kept[-1]["role"] == message["role"]:
            kept[-1] = {**kept[-1], "content": f"{kept[-1]['content']}\n{message['content']}"}
        else:
            kept.append({"role": message["role"], "content": message["content"]})
    if not any(message["role"] == "assistant" for message in kept):
        kept.append({"role": "assistant", "content": "No."})
    short = {**trace, "messages": [each for each in kept if each["role"] != "system"]}
    made = with_words(short, tools, reasoning=False)
    return Conversation(made.trace, made.words, ())


def load_tools(root: Path) -> dict[str, tuple[dict[str, Any], ...]]:
    """The tools of every tool schema of the project, by version."""
    files = (root / "configs" / "tool_schemas").glob("*.json")
    schemas = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {schema["version"]: tuple(schema["tools"]) for schema in schemas}


def _tools_of(
    trace: Mapping[str, Any], tools: Mapping[str, tuple[dict[str, Any], ...]]
) -> tuple[dict[str, Any], ...]:
    reference = trace["raw_metadata"].get("tool_schema_ref")
    return tools[reference["version"]] if reference else ()
