"""What every call format is made of: the text it reads, what it finds there, and the interface of
a format.

A format explains stretches of a completion: its calls with their markup, and reasoning. **All that
it does not explain is prose**, worked out here and not by the format, so that no format can lose
text. Whether the prose may stand there is for the judge.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from cbdata.call_formats.reasoning import THINK, Notation
from cbdata.tools import ToolSchema

MARK = "\ufdd0"
"""Stands in ``View.shape`` for the first character of a marker. A Unicode noncharacter; where a
completion has one as text, the shape has U+FFFD there.
"""

Tokens = Mapping[str, int]
"""Control tokens of a tokenizer with their ids. A fixed text that is one of them is written as the
token, for its letters would be text to the reader.
"""

NO_TOKENS: Tokens = MappingProxyType({})

_SPACE = re.compile(r"\s*+")
_FENCE_BEFORE = re.compile(r"```[\w-]*+[ \t]*+\n\s*+\Z|```[\w-]*+[ \t]*+\Z")
_FENCE_AFTER = re.compile(r"\s*+```(?![\w`])")
_LONGEST_FENCE = 60


class Span(NamedTuple):
    """A half-open stretch ``[start, end)`` of the raw completion, in code points."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class View:
    """A completion up to its end of turn, as one format sees it.

    ``text`` is what the model wrote. ``shape`` has the same length; the first character of every
    marker is ``MARK`` there. A marker is a control token of the tokenizer, or the letters of one of
    the format's own markers where the tokenizer has no such token. Formats search ``shape`` with
    patterns made by ``marker`` and take names and values from ``text``.
    """

    text: str
    shape: str

    def skip_space(self, pos: int) -> int:
        """The first place at or behind ``pos`` that is no white space."""
        match = _SPACE.match(self.text, pos)
        return match.end() if match else pos

    def has_marker(self, start: int, end: int) -> bool:
        """Whether a marker begins in ``[start, end)``."""
        return self.shape.find(MARK, start, end) >= 0


def marker(text: str) -> str:
    """The pattern that finds a marker in a view's shape."""
    return MARK + re.escape(text[1:])


def in_shape(text: str) -> str:
    """A marker as it stands in a view's shape."""
    return MARK + text[1:]


def any_of(texts: Iterable[str]) -> str:
    """A pattern for the longest of several texts at a place, in one step a character however many
    there are.
    """
    tails: dict[str, list[str]] = {}
    for text in texts:
        tails.setdefault(text[:1], []).append(text[1:])
    ends_here = tails.pop("", None) is not None
    branches = [re.escape(first) + any_of(rest) for first, rest in sorted(tails.items())]
    if not branches:
        return ""
    return f"(?:{'|'.join(branches)})" + ("?" if ends_here else "")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was read whole. All places are code points of the raw completion.

    - ``raw``: the call without the markup around it; it begins at ``raw_start``
    - ``start``, ``end``: half-open, with the markup that belongs to this call. What opens a section
      of several calls belongs to the first, what closes it to the last
    - ``name_start``, ``name_end``: half-open, the letters of the name
    - ``form``: json, python or xml. ``markup``: a word for what stood around the call, or ``bare``
    - ``arguments_json``: set where the model wrote the arguments as a string of JSON
    """

    name: str
    arguments: dict[str, Any]
    raw: str
    raw_start: int
    start: int
    end: int
    name_start: int
    name_end: int
    form: str
    markup: str = "bare"
    arguments_json: str | None = None


class Block(NamedTuple):
    """A stretch that the format explains: calls with their markup, or markup alone (``calls``
    empty). ``marked``: whether a marker announces it.
    """

    start: int
    end: int
    calls: tuple[Call, ...] = ()
    marked: bool = True


class Fault(NamedTuple):
    """Something that was begun as a call or as reasoning but is not one: the place, and why."""

    at: int
    reason: str


class Thought(NamedTuple):
    """Reasoning. ``[start, end)`` has the markers, ``[text_start, text_end)`` has not."""

    start: int
    end: int
    text_start: int
    text_end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A completion taken apart by one format.

    ``prose``: what no block and no reasoning takes up, without white space at the edges and without
    empty stretches, in order. ``marked``: whether every call was announced by a marker. ``fault``:
    why the completion cannot be read, or None; ``calls`` are then those read before, for the record
    only. ``unclosed_thinking``: the fault is reasoning that never ends.
    """

    calls: tuple[Call, ...] = ()
    prose: tuple[Span, ...] = ()
    thinking: tuple[Thought, ...] = ()
    marked: bool = True
    fault: Fault | None = None
    unclosed_thinking: bool = False


class CallFormat(ABC):
    """One notation for calls. A subclass in a module of its own, and a line in the registry, add
    one.

    - ``name``: as in the configuration
    - ``markers``: every fixed piece of its notation, section markers included. They are found in a
      view's shape; as letters in prose, any format's markers make the prose unclean
    - ``reasoning``: its notations for reasoning
    - ``end_tokens``: what ends a turn in this family's completions. Used only where a completion is
      read as spelled; else tokenizer, generation_config.json and template say it
    - ``argument_types``: whether reading an argument takes the tools' JSON Schemas
    """

    name: ClassVar[str]
    markers: ClassVar[tuple[str, ...]] = ()
    reasoning: ClassVar[tuple[Notation, ...]] = (THINK,)
    end_tokens: ClassVar[tuple[str, ...]] = ()
    always_marked: ClassVar[bool] = True

    @abstractmethod
    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """Find the calls. Never raises; the work grows with the length of the text.

        Args:
            view: The completion up to its end of turn.
            start: Where to begin, behind any leading reasoning.
            tools: Say the types of arguments where the notation does not; None if not known.

        Returns:
            The blocks in order, an empty list if there are none, or a Fault if the model began
            something in this notation and did not finish it.
        """

    @abstractmethod
    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """Calls (name, arguments) as the family's own templates print them, without end of turn."""

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str | None:
        """One call of any of the tools in this notation, as EBNF in xgrammar's dialect; None where
        the format has no grammar, so that constrained generation is refused.

        Args:
            tools: the tools.
            tokens: the control tokens of the model's tokenizer; the format's markers among them
                are written as tokens.

        Raises:
            ToolSchemaError: xgrammar cannot express the tools' schemas.
        """
        return None

    @property
    def has_grammar(self) -> bool:
        """Whether ``grammar`` gives one; quick to ask, for xgrammar is not imported."""
        return type(self).grammar is not CallFormat.grammar

    def opens_reasoning(self, prompt: str) -> bool:
        """Whether a generation prompt leaves a reasoning block open: it ends with its marker."""
        tail = prompt.rstrip()
        return any(
            tail.endswith((notation.opening + notation.label).rstrip())
            for notation in self.reasoning
        )

    @property
    def all_markers(self) -> tuple[str, ...]:
        """The markers of calls and of reasoning."""
        around = [(notation.opening, notation.closing) for notation in self.reasoning]
        return (*self.markers, *(mark for pair in around for mark in pair))

    def read(
        self, view: View, tools: ToolSchema | None = None, *, thinking_open: bool = False
    ) -> Reading:
        """Take a completion apart.

        Args:
            view: the completion up to its end of turn.
            tools: the tools there are, or None where they are not known.
            thinking_open: the prompt left a reasoning block open, so the completion begins in it.
        """
        thought = self._leading_thought(view, thinking_open)
        if isinstance(thought, Fault):
            return Reading(fault=thought, unclosed_thinking=True)
        start = thought.end if thought else 0
        found = self.blocks(view, start, tools)
        return assemble(view, [thought] if thought else [], found)

    def _leading_thought(self, view: View, thinking_open: bool) -> Thought | Fault | None:
        start = view.skip_space(0)
        opening = next(
            (
                notation
                for notation in self.reasoning
                if view.shape.startswith(MARK + notation.opening[1:] + notation.label, start)
            ),
            None,
        )
        if opening is None and not thinking_open:
            return None
        inside = start + len(opening.opening + opening.label) if opening else 0
        closings = [opening] if opening else self.reasoning
        found = [
            (at, notation.closing)
            for notation in closings
            if (at := view.shape.find(MARK + notation.closing[1:], inside)) >= 0
        ]
        if not found:
            return Fault(start if opening else 0, "reasoning that is never closed")
        at, closing = min(found)
        return Thought(start if opening else 0, at + len(closing), inside, at)


def assemble(
    view: View, thinking: Sequence[Thought], found: list[Block] | Fault, read: Sequence[Block] = ()
) -> Reading:
    """Make a reading from what a format explains: each call gets the markup of its block, and what
    is left over is prose.

    Args:
        view: The completion up to its end of turn.
        thinking: The stretches of reasoning, in the order of the text.
        found: The blocks in the order of the text, or a fault.
        read: Blocks from before a fault, for the record.
    """
    if isinstance(found, Fault):
        calls = tuple(call for block in read for call in block.calls)
        return Reading(calls, (), tuple(thinking), fault=found)
    calls = tuple(call for block in found for call in _with_markup(block))
    explained = sorted(
        [Span(block.start, block.end) for block in found]
        + [Span(thought.start, thought.end) for thought in thinking]
    )
    prose, pos = [], 0
    for start, end in (*explained, Span(len(view.text), len(view.text))):
        if left := _trimmed(view.text, pos, start):
            prose.append(left)
        pos = max(pos, end)
    marked = all(block.marked for block in found if block.calls)
    return Reading(calls, tuple(prose), tuple(thinking), marked)


def _with_markup(block: Block) -> tuple[Call, ...]:
    calls = list(block.calls)
    if calls:
        calls[0] = replace(calls[0], start=block.start)
        calls[-1] = replace(calls[-1], end=block.end)
    return tuple(calls)


def _trimmed(text: str, start: int, end: int) -> Span | None:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    right = len(piece.rstrip())
    return Span(start + left, start + right) if left < right else None


def with_fence(view: View, blocks: list[Block], start: int) -> list[Block]:
    """Widen the first and the last block over a code fence that stands around them all.

    Args:
        view: The completion.
        blocks: The blocks, in order.
        start: Where the fence may begin at the earliest.

    Returns:
        The blocks as they were if there is no such fence.
    """
    if not blocks:
        return blocks
    first, last = blocks[0], blocks[-1]
    low = max(start, first.start - _LONGEST_FENCE)
    before = _FENCE_BEFORE.search(view.text[low : first.start])
    after = _FENCE_AFTER.match(view.text, last.end)
    if before is None or after is None:
        return blocks
    widened = list(blocks)
    widened[0] = first._replace(start=low + before.start())
    widened[-1] = widened[-1]._replace(end=after.end())
    return widened
