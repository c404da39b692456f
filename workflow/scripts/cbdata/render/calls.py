"""Where each tool call of a turn stands in a rendered text: its own markup, name and arguments, and
nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from cbdata.rejects import Reject
from cbdata.render.placing import Block, Found
from cbdata.render.thinking import CLOSINGS, left_out
from cbdata.render.traced_text import Part, leaves_of
from cbdata.render.turns import CallSpan, Landmarks, Turn


def place_calls(
    text: str, message: Mapping[str, Any], block: Block, turn: Turn, landmarks: Landmarks
) -> list[CallSpan]:
    """The calls of a turn, in order and disjoint.

    Args:
        text: The rendered text.
        message: The message that makes the calls.
        block: What is known of where the turn is printed.
        turn: The turn, with its reasoning and its end.
        landmarks: What is known of the template beforehand.

    Raises:
        Reject: A call, its name or something of its arguments cannot be placed.
    """
    mine, numbers = block.found, _numbers(message, block)
    if not numbers:
        return []
    calls = [message["tool_calls"][number] for number in numbers]
    first = numbers[0]
    cores = [
        _core(turn.index, number, call, mine) for number, call in zip(numbers, calls, strict=True)
    ]
    whole = {
        number: _is_whole(call, mine, number, core[1])
        for number, call, core in zip(numbers, calls, cores, strict=True)
    }
    for number, (left, right) in enumerate(pairwise(cores), start=first + 1):
        if right[0] < left[1]:
            raise Reject(
                "calls_overlap",
                f"message {turn.index}: call {number} starts before call {number - 1} ends",
            )
    limit = turn.stop[0] if turn.stop else turn.content_end
    begin = turn.own_start
    if begin <= turn.content_start <= cores[0][0]:
        begin = turn.content_start  # behind an empty block for reasoning
    bounds = [(begin, limit)] * len(cores)
    if len(cores) > 1:
        inner = [
            _between(text, mine, turn.index, number, left[1], right[0], landmarks, whole[number])
            for number, (left, right) in enumerate(pairwise(cores), start=first)
        ]
        starts = [begin, *(start for _, start in inner)]
        bounds = list(zip(starts, [*(end for end, _ in inner), limit], strict=True))
    # Where the template asks for no answer, or reasoning stands before it, an empty content says
    # where a header ends.
    open_ended = any(not text[a:b].rstrip().endswith(CLOSINGS) for a, b in turn.thinking)
    empty = not landmarks.generation_prompt or open_ended
    pieces = ((part.start, part.end) for part in turn.pieces if part.start < part.end or empty)
    said = [*turn.thinking, *pieces]
    spans = []
    placed = zip(calls, cores, bounds, strict=True)
    for number, (call, core, (low, high)) in enumerate(placed, start=first):
        low = max([low, *(end for _, end in said if end <= core[0])])
        high = min([high, *(start for start, _ in said if start >= core[1])])
        if number == first:
            low = _behind_content(text, low, core[0], turn, landmarks)
        low = _behind_header(text, low, core[0], landmarks)
        if number < numbers[-1]:
            high = _before_end(text, core[1], high, landmarks)
        else:
            scopes = mine.scopes.get(number, ())
            high = _own_end(text, scopes, core[1], high, landmarks, whole[number])
        stretch = text[low:high]
        low += len(stretch) - len(stretch.lstrip())
        high -= len(stretch) - len(stretch.rstrip())
        name = mine.names[number][0]
        if any(low < end and start < high for start, end in said):
            raise Reject(
                "call_not_placed",
                f"message {turn.index}, call {number}: text or reasoning stands inside it",
            )
        _check_arguments(text[low:high], call["function"]["arguments"], mine, turn.index, number)
        spans.append(CallSpan(number, call["function"]["name"], low, high, name.start, name.end))
    return spans


def _numbers(message: Mapping[str, Any], block: Block) -> Sequence[int]:
    """The numbers of the calls that stand in a turn; what is in none is the first one's."""
    if block.is_rest:
        return sorted(block.found.names)
    every = range(len(message.get("tool_calls") or ()))
    if block.found.rest is None:
        return every
    apart = {number for turn in [*block.found.turns()][1:] for number in turn.names}
    return [number for number in every if number not in apart]


def _core(index: int, number: int, call: Any, mine: Found) -> tuple[int, int]:
    """The stretch from the first to the last character of a call that is the conversation's."""
    names = mine.names.get(number)
    if not names:
        raise Reject(
            "call_not_rendered",
            f"message {index}, call {number}: the template does not print the name"
            f" {call['function']['name']!r}",
        )
    parts = [*names, *mine.arguments.get(number, ()), *mine.ids.get(number, ())]
    return min(part.start for part in parts), max(part.end for part in parts)


def _is_whole(call: Any, mine: Found, number: int, end: int) -> bool:
    """Whether nothing of a call's arguments can stand behind its own last character at ``end``: not
    the rest of a list or mapping of which that character is printed one by one.
    """
    arguments = call["function"]["arguments"]
    if not any(isinstance(value, list | dict) for value in arguments.values()):
        return True
    last = [part.origin.leaf for part in mine.arguments.get(number, ()) if part.end == end]
    if not last or min(last) < 0:
        return True
    leaf = 0
    for value in arguments.values():
        leaf += 1  # the key
        inside = sum(isinstance(each, str) for each in leaves_of(value))
        if isinstance(value, list | dict) and any(leaf <= each < leaf + inside for each in last):
            return False
        leaf += inside
    return True


def _between(
    text: str,
    mine: Found,
    index: int,
    number: int,
    start: int,
    end: int,
    landmarks: Landmarks,
    whole: bool,
) -> tuple[int, int]:
    """Where call ``number`` ends and the next one starts, between their own characters at
    ``start`` and ``end``; ``whole`` as ``_is_whole`` says.
    """
    opening, close = landmarks.call_open, landmarks.call_close
    closed = _closed(text, close, start, end, whole) or start
    opened = end - len(opening) if opening and text.endswith(opening, closed, end) else end
    ended = [stop for low, stop in mine.scopes.get(number, ()) if low >= start and stop <= end]
    begun = [low for low, stop in mine.scopes.get(number + 1, ()) if low >= start and stop <= end]
    if ended or begun:
        last = max(closed, *ended) if ended else closed
        return last, min([max(opened, last), *(low for low in begun if low >= last)])
    if closed > start:
        return closed, closed
    if not text[start:end].strip():
        return start, end
    raise Reject(
        "call_not_placed",
        f"message {index}: nothing says where in {text[start:end][:60]!r} call {number} ends and"
        f" call {number + 1} begins",
    )


def _closed(text: str, close: str, start: int, end: int, whole: bool) -> int:
    """Behind a call's closing, 0 where there is none. Where a list or mapping has to end before it,
    the closing is the last one, without the quotes that end a text.
    """
    if whole:
        return start + len(close) if close and text.startswith(close, start, end) else 0
    close = close.lstrip("'\"")
    found = text.rfind(close, start, end) if close else -1
    return found + len(close) if found >= 0 else 0


def _behind_content(text: str, start: int, end: int, turn: Turn, landmarks: Landmarks) -> int:
    """Behind what closes a content that stands before the calls, an empty one's too."""
    close = landmarks.content_close
    ends = (part.end for part in turn.pieces if close and part.end <= end)
    closed = [at + len(close) for at in ends if text.startswith(close, at, end)]
    return max([start, *closed])


def _behind_header(text: str, start: int, end: int, landmarks: Landmarks) -> int:
    """Behind a header that the template prints before each call of a turn."""
    header = landmarks.generation_prompt.strip()
    if header:
        found = text.rfind(header, start, end)
        if found >= 0:
            return found + len(header)
    return start


def _before_end(text: str, start: int, end: int, landmarks: Landmarks) -> int:
    """Before the end of a turn that stands behind a call which another one follows."""
    shown = text[start:end].rstrip()
    token = next((each for each in landmarks.answer_ends if each and shown.endswith(each)), "")
    return start + len(shown) - len(token)


def _own_end(
    text: str,
    scopes: Iterable[tuple[int, int]],
    start: int,
    limit: int,
    landmarks: Landmarks,
    whole: bool,
) -> int:
    """Where the last call ends, behind its own last character at ``start``: the end of the call
    section is not its own. ``whole`` as ``_is_whole`` says.
    """
    close = landmarks.call_close
    ends = [min(high, limit) for low, high in scopes if start <= low < limit]
    end = max(ends, default=limit)
    if not whole:
        return _closed(text, close, start, end, whole) or end
    if close:
        if text.startswith(close, start, limit):
            return start + len(close)
        for stop in (end, limit):  # without arguments something stands before it
            found = text.rfind(close, start, stop)
            if found >= 0:
                return found + len(close)
    return end


def _check_arguments(
    shown: str, arguments: Mapping[str, Any], mine: Found, index: int, number: int
) -> None:
    """Everything in a call's arguments must have been printed."""
    printed = mine.arguments.get(number, [])
    if any(part.origin.leaf < 0 and part.start < part.end for part in printed):
        return
    by_leaf: dict[int, list[Part]] = {}
    for part in printed:
        by_leaf.setdefault(part.origin.leaf, []).append(part)
    text = 0
    for leaf in leaves_of(arguments):
        if isinstance(leaf, str):
            missing = left_out(leaf, by_leaf.get(text, ()))
            if missing and text not in by_leaf and leaf in shown:
                missing = ""  # printed by a step that loses where a text comes from
            text += 1
        else:
            missing = "" if any(form in shown for form in _forms(leaf)) else json.dumps(leaf)
        if missing:
            raise Reject(
                "arguments_dropped",
                f"message {index}, call {number}: the template leaves out {missing[:60]!r}",
            )


def _forms(value: Any) -> Sequence[str]:
    """How templates print a number, a boolean or None."""
    return json.dumps(value), str(value), str(value).lower()
