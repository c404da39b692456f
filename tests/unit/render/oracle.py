"""A slow renderer and tokeniser to compare with, written without the code under test.

Texts come from hand-written functions for three formats, ids from the tokenizer's pre-tokeniser and
model called on one word at a time (so added tokens cannot be found in text), and every token
carries the labels of the text it overlaps.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer

Label = tuple[Any, ...]


@dataclass
class Script:
    """A text in pieces: ``(text, is a control token, labels)``."""

    pieces: list[tuple[str, bool, frozenset[Label]]] = field(default_factory=list)

    def text(self, text: str, *labels: Label) -> None:
        if text:
            self.pieces.append((text, False, frozenset(labels)))

    def control(self, text: str, *labels: Label) -> None:
        self.pieces.append((text, True, frozenset(labels)))

    def __str__(self) -> str:
        return "".join(text for text, _, _ in self.pieces)


def settled_length(name: str, tools: Sequence[str] | None) -> int:
    """How many characters of a name settle the tool."""
    for length in range(1, len(name) + 1):
        if tools is not None and all(
            tool == name or not tool.startswith(name[:length]) for tool in tools
        ):
            return length
    return len(name)


def write_name(
    script: Script,
    name: str,
    tools: Sequence[str] | None,
    where: tuple[int, int],
    labels: Sequence[Label],
) -> None:
    """A tool name (plain letters), its settling part labelled."""
    length = settled_length(name, tools)
    script.text(name[:length], *labels, ("name", *where), ("settled", *where))
    script.text(name[length:], *labels, ("name", *where))


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def write_hermes_call(
    script: Script,
    call: Mapping[str, Any],
    tools: Sequence[str] | None,
    where: tuple[int, int],
    labels: Sequence[Label],
    tags: Callable[..., None],
) -> None:
    """``<tool_call>`` around a JSON object; ``tags`` writes the tags, as text or as control
    tokens.
    """
    own = [*labels, ("call", *where)]
    tags("<tool_call>", *own)
    script.text('\n{"name": "', *own)
    write_name(script, call["function"]["name"], tools, where, own)
    script.text(f'", "arguments": {dumps(call["function"]["arguments"])}}}\n', *own)
    tags("</tool_call>", *own)


def chatml(messages: Sequence[Mapping[str, Any]], tools: Sequence[str] | None) -> Script:
    """SmolLM2's format: every role alike, a default system message, calls as text."""
    script = Script()
    if messages[0]["role"] != "system":
        script.control("<|im_start|>")
        script.text("system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face")
        script.control("<|im_end|>")
        script.text("\n")
    for index, message in enumerate(messages):
        turn, said = ("turn", index), ("said", index)
        script.control("<|im_start|>", turn)
        script.text(message["role"] + "\n", turn)
        script.text(message["content"], turn, said, ("content", index))
        for number, call in enumerate(message.get("tool_calls", ())):
            script.text("\n" if message["content"] or number else "", turn, said)
            write_hermes_call(script, call, tools, (index, number), (turn, said), script.text)
        script.control("<|im_end|>", turn, said)
        script.text("\n")
    return script


def qwen3(messages: Sequence[Mapping[str, Any]], tools: Sequence[str] | None) -> Script:
    """Qwen3's format: tool results in user turns, an empty think block in a last answer after the
    last question, which is the template's own and no word of the model's.
    """
    script = Script()
    asked = max(
        (index for index, message in enumerate(messages) if message["role"] == "user"),
        default=len(messages) - 1,
    )
    for index, message in enumerate(messages):
        role, content = message["role"], message["content"]
        turn, said = ("turn", index), ("said", index)
        if role == "tool":
            if index == 0 or messages[index - 1]["role"] != "tool":
                script.control("<|im_start|>", turn)
                script.text("user", turn)
            script.text("\n", turn)
            script.control("<tool_response>", turn)
            script.text("\n", turn)
            script.text(content, turn, said, ("content", index))
            script.text("\n", turn, said)
            script.control("</tool_response>", turn, said)
            if index + 1 == len(messages) or messages[index + 1]["role"] != "tool":
                script.control("<|im_end|>", turn, said)
                script.text("\n")
            continue
        script.control("<|im_start|>", turn)
        script.text(role + "\n", turn)
        if role == "assistant" and index > asked and index + 1 == len(messages):
            script.control("<think>", turn)
            script.text("\n\n", turn)
            script.control("</think>", turn)
            script.text("\n\n", turn)
            shown = content.lstrip("\n")
        else:
            shown = content
        script.text(shown, turn, said, ("content", index))
        for number, call in enumerate(message.get("tool_calls", ())):
            script.text("\n" if content or number else "", turn, said)
            write_hermes_call(script, call, tools, (index, number), (turn, said), script.control)
        script.control("<|im_end|>", turn, said)
        script.text("\n")
    return script


def llama31(messages: Sequence[Mapping[str, Any]], tools: Sequence[str] | None) -> Script:
    """The project's Llama 3.1 format."""
    script = Script()
    script.control("<|begin_of_text|>", ("bos",))

    def header(role: str, *labels: Label) -> None:
        script.control("<|start_header_id|>", *labels)
        script.text(role, *labels)
        script.control("<|end_header_id|>", *labels)
        script.text("\n\n", *labels)

    own_system = messages[0]["role"] == "system"
    first = [("turn", 0)] if own_system else []
    header("system", *first)
    script.text("Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n", *first)
    if not own_system:
        script.control("<|eot_id|>")
    for index, message in enumerate(messages):
        role, content = message["role"], message["content"]
        turn, said = ("turn", index), ("said", index)
        if not (own_system and index == 0):
            header("ipython" if role == "tool" else role, turn)
        script.text(
            content.lstrip() if role == "assistant" else content, turn, said, ("content", index)
        )
        for number, call in enumerate(message.get("tool_calls", ())):
            labels = [turn, said, ("call", index, number)]
            script.control("<|python_tag|>", *labels)
            script.text('{"name": "', *labels)
            write_name(script, call["function"]["name"], tools, (index, number), labels)
            script.text(f'", "parameters": {dumps(call["function"]["arguments"])}}}', *labels)
        more = (
            bool(message.get("tool_calls"))
            and index + 1 < len(messages)
            and messages[index + 1]["role"] == "tool"
        )
        script.control("<|eom_id|>" if more else "<|eot_id|>", turn, said)
    return script


FORMATS: dict[str, Callable[..., Script]] = {
    "llama-3.1": llama31,
    "qwen3": qwen3,
    "smollm2": chatml,
}


@dataclass
class Expected:
    """Token ids and the labels of each."""

    ids: list[int]
    labels: list[frozenset[Label]]

    def span(self, *label: Any) -> tuple[int, int] | None:
        """First and one past the last token with a label; they must be without a gap."""
        places = [index for index, labels in enumerate(self.labels) if label in labels]
        if not places:
            return None
        assert places == list(range(places[0], places[-1] + 1)), (
            f"the oracle's own tokens of {label} have a gap"
        )
        return places[0], places[-1] + 1

    def having(self, kind: str) -> set[Label]:
        """Every label of a kind that some token has."""
        return {label for labels in self.labels for label in labels if label[0] == kind}


def tokenize(script: Script, tokenizer: Tokenizer) -> Expected:
    """Tokenise a script word by word."""
    ids: list[int] = []
    labels: list[frozenset[Label]] = []
    run: list[tuple[str, frozenset[Label]]] = []

    def flush() -> None:
        if run:
            _plain(run, tokenizer, ids, labels)
            run.clear()

    for text, control, tags in script.pieces:
        if control:
            flush()
            ids.append(tokenizer.token_to_id(text))
            labels.append(tags)
        else:
            run.append((text, tags))
    flush()
    return Expected(ids, labels)


def _plain(
    run: Sequence[tuple[str, frozenset[Label]]],
    tokenizer: Tokenizer,
    ids: list[int],
    labels: list[frozenset[Label]],
) -> None:
    """One stretch without control tokens; where it is normalised (NFC), boundaries are found in the
    normalised text.
    """
    normal: Callable[[str], str] = (
        (lambda text: unicodedata.normalize("NFC", text))
        if tokenizer.normalizer is not None
        else (lambda text: text)
    )
    whole = ""
    edges: list[tuple[int, int, frozenset[Label]]] = []
    for text, tags in run:
        start = len(normal(whole).encode())
        whole += text
        edges.append((start, len(normal(whole).encode()), tags))
    position = 0
    for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal(whole)):
        for token in tokenizer.model.tokenize(word):
            end = position + len(token.value)  # one character of a byte-level token for each byte
            ids.append(token.id)
            labels.append(
                frozenset().union(
                    *[tags for low, high, tags in edges if position < high and end > low]
                )
            )
            position = end
    assert position == len(normal(whole).encode())
