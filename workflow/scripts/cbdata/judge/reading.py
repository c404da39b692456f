"""A completion read in a call format, and whether anything in it is left unexplained."""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cbdata.call_formats.base import Call, CallFormat, Reading, Span, View
from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import ANY, FORMATS, call_format
from cbdata.ids import canonical_json
from cbdata.judge.prose import call_syntax, doubt, is_refusal
from cbdata.tools import ToolSchema

Kind = Literal["calls", "no_call", "refusal", "unclear", "malformed"]

MAX_REPEATS = 3
"""How often one and the same call may stand in a completion; more is a model that loops."""

_SENTENCE_END = ".!?:…。！？："
_LIST_ITEM = re.compile(r"[ \t]*+(?:[-*•]|\d{1,3}[.)])[ \t]++\S")
_PLACEHOLDER = re.compile(
    r"\s*(?:\.{3,}|…|[<\[{(]{1,2}\s*(?:your|the|insert|enter|some|a|an|any)\b[^<>\[\]{}]{0,80}[>\]})]"
    r"{1,2})\s*",
    re.IGNORECASE,
)
_INFORMATIVE = ("malformed", "unclear", "refusal", "no_call")


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """How a model's completions are read.

    - ``call_format``: a name of the registry, or ``any``
    - ``end_tokens``: what ends a turn of this model; None: of every known family
    - ``thinking_open``: the prompt left a reasoning block open
    - ``accept_calls_in_prose``: a call without markup may stand amid prose, and prose may stand
      behind a call; it must be clean all the same
    """

    call_format: str = ANY
    end_tokens: frozenset[str] | None = None
    thinking_open: bool = False
    accept_calls_in_prose: bool = False


@dataclass(frozen=True, slots=True)
class Parsed:
    """A completion taken apart.

    - ``kind``: calls only if nothing is left unexplained. ``detail`` says what is wrong, with the
      place in code points, where it is not
    - ``calls``: in the order of the text; where ``kind`` is not calls, those that were read, for
      the record only
    - ``content``: the prose before and behind the calls, a line break between the parts
    - ``content_spans``, ``thinking_spans``: half-open, in code points of the raw completion; of
      reasoning with its markers
    - ``call_format``: the format that read it
    - ``length``: of the turn, without its end token. ``end_token``: that token, or None. What
      stands behind it is not judged: ``dropped`` characters
    - ``unclosed_thinking``: malformed, because reasoning never ends
    """

    kind: Kind
    calls: tuple[Call, ...] = ()
    content: str = ""
    thinking: str | None = None
    detail: str = ""
    content_spans: tuple[Span, ...] = ()
    thinking_spans: tuple[Span, ...] = ()
    call_format: str = ""
    length: int = 0
    end_token: str | None = None
    dropped: int = 0
    unclosed_thinking: bool = field(default=False)


def read_completion(
    completion: Completion, tools: ToolSchema | None, rules: ReadingRules
) -> Parsed:
    """Take a completion apart; never raises for what a model wrote, in time linear in its length.

    Args:
        completion: the model's words.
        tools: the tools there are, or None where they are not known.
        rules: the model's call format, end tokens and settings.

    Raises:
        ValueError: ``rules.call_format`` is not a format.
    """
    if rules.call_format != ANY:
        return _read(completion, call_format(rules.call_format), tools, rules)
    found = [_read(completion, each, tools, rules) for each in _worth_trying(completion)]
    whole = [parsed for parsed in found if parsed.kind == "calls"]
    if not whole:
        return min(found, key=lambda parsed: _rank(parsed, completion))
    first = whole[0]
    for other in whole[1:]:
        if _meaning(other) != _meaning(first):
            names = f"{first.call_format} and {other.call_format}"
            return Parsed(
                "unclear",
                first.calls,
                detail=f"{names} read it differently",
                call_format=first.call_format,
                length=first.length,
            )
    return first


def _worth_trying(completion: Completion) -> list[CallFormat]:
    """The formats that do without markers, and those of which the text has a marker that these do
    not know: the others would find no call in it, and no reasoning that these do not find.
    """
    known = {
        mark for each in FORMATS.values() if not each.always_marked for mark in each.all_markers
    }
    return [
        each
        for each in FORMATS.values()
        if not each.always_marked
        or any(mark in completion.text for mark in each.all_markers if mark not in known)
    ]


def _rank(parsed: Parsed, completion: Completion) -> tuple[bool, int, int]:
    """How much a rejected reading says about the text: the most first."""
    markers = FORMATS[parsed.call_format].markers
    foreign = not any(mark in completion.text for mark in markers)
    return foreign, -len(parsed.calls), _INFORMATIVE.index(parsed.kind)


def _meaning(parsed: Parsed) -> Any:
    calls = [(call.name, canonical_json(call.arguments)) for call in parsed.calls]
    return calls, parsed.content, parsed.thinking


def _read(
    completion: Completion, reader: CallFormat, tools: ToolSchema | None, rules: ReadingRules
) -> Parsed:
    view, end = completion.view(reader, rules.end_tokens)
    reading = reader.read(view, tools, thinking_open=rules.thinking_open)
    kind, detail = _kind(view, reading, tools, rules)
    thoughts = [view.text[each.text_start : each.text_end].strip() for each in reading.thinking]
    return Parsed(
        kind=kind,
        calls=reading.calls,
        content="\n".join(view.text[start:end] for start, end in reading.prose),
        thinking="\n".join(filter(None, thoughts)) or None,
        detail=detail,
        content_spans=reading.prose,
        thinking_spans=tuple(Span(each.start, each.end) for each in reading.thinking),
        call_format=reader.name,
        length=len(view.text),
        end_token=end.token if end else None,
        dropped=len(completion.text) - end.end if end else 0,
        unclosed_thinking=reading.unclosed_thinking,
    )


def _kind(
    view: View, reading: Reading, tools: ToolSchema | None, rules: ReadingRules
) -> tuple[Kind, str]:
    """What a reading amounts to, and why it is not calls."""
    if reading.fault:
        return "malformed", f"character {reading.fault.at}: {reading.fault.reason}"
    names = tools.names if tools else ()
    called = {call.name for call in reading.calls}
    for start, end in reading.prose:
        text = view.text[start:end]
        unclean = call_syntax(text, view.shape[start:end], names)
        if unclean is None and reading.calls:
            unclean = doubt(text, names, called)
        if unclean:
            beside = "beside a call" if reading.calls else "in prose"
            return "unclear", f"character {start + unclean.at}: {beside}: {unclean.reason}"
    if not reading.calls:
        text = "\n".join(view.text[start:end] for start, end in reading.prose)
        return ("refusal" if is_refusal(text) else "no_call"), ""
    return _place(view, reading, rules) or _worth(reading.calls) or ("calls", "")


def _place(view: View, reading: Reading, rules: ReadingRules) -> tuple[Kind, str] | None:
    """What is wrong with where the calls stand, or None."""
    first = reading.calls[0].start
    for start, _ in reading.prose:
        if start > first and not rules.accept_calls_in_prose:
            return "unclear", f"character {start}: prose behind a call"
        if not reading.marked and not rules.accept_calls_in_prose:
            return "unclear", f"character {start}: a call without markup amid prose"
    ends = [end for _, end in reading.prose]
    for call in reading.calls:
        behind = bisect.bisect_right(ends, call.start)
        if not behind:
            continue
        end = ends[behind - 1]
        between = view.text[end : call.start]
        same_line = not between.strip() and "\n" not in between
        line = view.text.rfind("\n", 0, end) + 1
        whole = view.text[end - 1] in _SENTENCE_END or _LIST_ITEM.match(view.text, line, end)
        if same_line and not whole:
            return "unclear", f"character {call.start}: a call in the middle of a sentence"
    return None


def _worth(calls: tuple[Call, ...]) -> tuple[Kind, str] | None:
    """Calls that nobody means: placeholders, and one call over and over."""
    counts: dict[tuple[str, bytes], int] = {}
    for call in calls:
        if found := next(filter(_PLACEHOLDER.fullmatch, _strings(call.arguments)), None):
            return "unclear", f"character {call.start}: a placeholder as an argument: {found!r:.60}"
        key = (call.name, canonical_json(call.arguments))
        counts[key] = counts.get(key, 0) + 1
        if counts[key] > MAX_REPEATS:
            return "unclear", f"character {call.start}: one call more than {MAX_REPEATS} times"
    return None


def _strings(value: Mapping[str, Any]) -> list[str]:
    """Every string among the values of arguments."""
    found: list[str] = []
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return found
