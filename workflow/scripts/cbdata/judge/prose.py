"""Whether prose is clean: nothing in it could be a call, a definition, reasoning or a refusal.

The text beside a call is where a label goes wrong: a refusal that quotes the call, a second call in
a notation that is not the model's, an example, a log. So these patterns are wider than any
notation, and what they find by mistake costs a completion and not a label.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from typing import NamedTuple

from cbdata.call_formats.base import MARK, any_of
from cbdata.call_formats.registry import KNOWN_MARKERS
from cbdata.judge.plain_text import not_plain
from cbdata.judge.refusals import DOUBTS, REFUSALS, announces, label, other_language
from cbdata.judge.tool_names import QUOTE, mentions, other_spellings, word_as_tool

_REFUSAL_WINDOW = 400
MAX_PROSE = 20_000
"""Characters of prose beside a call. More is no sentence or two before a call, and is not read."""

_SYNTAX = (
    ("a marker of a call format", re.compile(any_of(KNOWN_MARKERS))),
    ("a control token", re.compile(
        r"<[|｜][^<>|｜\n]{1,60}[|｜]>|<[|｜]|[|｜]>|<(?:start|end)_of_turn>"
    )),
    ("markup of a call or of reasoning", re.compile(
        r"<(?=[/\w\s:.-])/?\s*+[\w:.-]{0,40}?(?:tool|function|invoke|parameter|argument|action|thinking|thought"
        r"|think|reason|scratchpad|reflect|plan)"
        r"|\[/?(?:TOOL|ARG|CALL|THINK|AVAILABLE|INST|FUNC|ACTION)[A-Z_]{0,30}\]",
        re.IGNORECASE,
    )),
    ("braces", re.compile(r"[{}\uff5b\uff5d]")),
    ("a code fence", re.compile(r"```|~~~")),
    ("a line that announces a call", re.compile(
        r"^[ \t>*_#-]{0,8}(?:action(?: input)?|tool(?:[ _-]?(?:call|name|use))?|function(?:[ _-]?"
        r"(?:call|name))?|call|invoke|execute|arguments?|parameters?|recipient|to)"
        r"[ \t*_`]{0,4}[:=]|\bto=\w",
        re.IGNORECASE | re.MULTILINE,
    )),
    ("code that calls something", re.compile(
        r"(?<![\w.])[A-Za-z_][\w.]{0,80}\s?\(\s{0,4}(?:\)|[A-Za-z_]\w{0,60}\s{0,4}[=:](?!=)|"
        + QUOTE + r")|(?<![\w.])[A-Za-z]\w{0,80}_\w{0,80}\s?\("
    )),
)  # fmt: skip

_IDENTIFIER = re.compile(r"(?<![\w./\\-])[A-Za-z][A-Za-z0-9]*+_\w++(?![./-]\w)")


class Unclean(NamedTuple):
    """What is wrong with prose: the place in it (code points) and why."""

    at: int
    reason: str


def is_refusal(text: str) -> bool:
    """Whether prose reads as a refusal: first-person phrases in its first 400 characters. A label
    for the stats, nothing depends on it.
    """
    return REFUSALS.search(text[:_REFUSAL_WINDOW]) is not None


def call_syntax(text: str, shape: str, tool_names: Collection[str]) -> Unclean | None:
    """The first thing in a text that could be a call or a part of one, in any notation, or None.

    Args:
        text: prose.
        shape: the same stretch of the view's shape, where markers have ``MARK``.
        tool_names: the tools there are.
    """
    found = _letters(text, tuple(tool_names))
    at = shape.find(MARK)
    if at >= 0 and (found is None or at < found.at):
        return Unclean(at, f"a control token: {text[at : at + 40]!r}")
    return found


@functools.lru_cache(maxsize=8)
def _letters(text: str, tool_names: tuple[str, ...]) -> Unclean | None:
    """``call_syntax`` of the text alone; kept, since all formats are asked about the same prose."""
    found = [
        Unclean(match.start(), f"{label}: {_shown(text, match.start())}")
        for label, pattern in _SYNTAX
        if (match := pattern.search(text))
    ]
    named = next((place for place, plain in mentions(text, tool_names) if not plain), None)
    if named:
        shown = _shown(text, named.start())
        found.append(Unclean(named.start(), f"a tool's name as in a call: {shown}"))
    return min(found, default=None)


def doubt(text: str, tool_names: Collection[str], called: Collection[str]) -> Unclean | None:
    """Why the prose before a call may make of it something else than a call, or None.

    A tool may be named in plain words only if the completion calls it: "I will use search_web"
    before another tool's call says that there are two minds, or two calls.

    Args:
        text: prose beside a call, without white space at its edges.
        tool_names: the tools there are.
        called: the names of the tools that the completion calls.
    """
    if len(text) > MAX_PROSE:
        return Unclean(MAX_PROSE, f"more than {MAX_PROSE} characters of prose")
    if found := _turned(text):
        return found
    for place, _ in mentions(text, tool_names):
        if place.group() not in called:
            return Unclean(place.start(), f"names a tool that is not called: {place.group()}")
    if word := word_as_tool(text, set(tool_names) - set(called)):
        return Unclean(word[0], f"names a tool that is not called: {word[1]}")
    for spelling in other_spellings(text, tool_names):
        if not spelling.words:
            shown = _shown(text, spelling.start)
            return Unclean(spelling.start, f"a tool's name in another spelling: {shown}")
        if spelling.name not in called:
            return Unclean(spelling.start, f"names a tool that is not called: {spelling.name}")
    for match in _IDENTIFIER.finditer(text):
        if match.group() not in called:
            return Unclean(match.start(), f"a name of code: {_shown(text, match.start())}")
    return None


@functools.lru_cache(maxsize=8)
def _turned(text: str) -> Unclean | None:
    """The first reason for doubt that does not depend on the tools."""
    if odd := not_plain(text):
        return Unclean(odd[0], f"{odd[1]}: {_shown(text, odd[0])}")
    for reason, pattern in DOUBTS:
        if match := pattern.search(text):
            return Unclean(match.start(), f"{reason}: {_shown(text, match.start())}")
    for found in (other_language(text), label(text)):
        if found:
            return Unclean(*found)
    if not announces(text):
        return Unclean(0, f"prose that does not say what the model does: {_shown(text, 0)}")
    return None


def _shown(text: str, at: int) -> str:
    return repr(text[at : at + 40])
