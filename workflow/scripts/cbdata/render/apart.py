"""A message that a template prints as several turns: behind the end of one stands the header of
another answer.

The model stops at such an end, and whoever asks for the rest writes the header: neither it nor the
end of another turn may lie in one of the model's stretches. Where the model does not stop (gpt-oss,
Solar), it writes the header itself, and the turn is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from cbdata.render.placing import Found
from cbdata.render.traced_text import Part
from cbdata.render.turns import Landmarks


class _Item(NamedTuple):
    """Characters ``[start, end)`` of a message's own: of a piece of text, or call ``call``."""

    start: int
    end: int
    kind: str
    call: int = -1


def split_apart(text: str, mine: Found, landmarks: Landmarks) -> None:
    """Make a turn of its own of everything that stands behind an end of turn and a header.

    Args:
        text: The rendered text.
        mine: What is known of one message; changed.
        landmarks: What is known of the template beforehand.
    """
    head = landmarks.head
    if not head or mine.own is None or text.find(head, *mine.own) < 0:
        return
    items = sorted(_items(mine))
    cuts = []
    for place, (left, right) in enumerate(pairwise(items), start=1):
        # Text behind calls is asked for whatever ends them.
        asked = left.call >= 0 and right.call < 0
        behind = end_before_header(text, left.end, right.start, landmarks, stops=not asked)
        if behind is not None:
            cuts.append((place, behind))
    calls = [item.call for item in items if item.call >= 0]
    if cuts and calls == sorted(calls):
        _cut(mine, items, cuts)


def end_before_header(
    text: str, start: int, end: int, landmarks: Landmarks, *, stops: bool = False
) -> int | None:
    """The character behind the first end of a turn with the header of an answer behind it.

    Args:
        text: The rendered text.
        start: Where to look from.
        end: Where to look to.
        landmarks: What is known of the template beforehand.
        stops: Whether the model must stop at the end.

    Returns:
        None where there is none.
    """
    head = landmarks.head
    if not head or text.find(head, start, end) < 0:
        return None
    ends = landmarks.stops if stops else landmarks.stops | landmarks.turn_ends
    joint = _joint(ends, landmarks.spelled_end, head)
    found = joint.search(text, start, end) if joint else None
    return found.end() if found else None


def _items(mine: Found) -> Iterator[_Item]:
    """What the message says, without what is empty."""
    for kind in ("content", "thinking", "inline"):
        for part in getattr(mine, kind):
            if part.start < part.end:
                yield _Item(part.start, part.end, kind)
    for call, names in mine.names.items():
        parts = [*names, *mine.arguments.get(call, ())]
        yield _Item(min(p.start for p in parts), max(p.end for p in parts), "call", call)


@lru_cache
def _joint(ends: frozenset[str], spelled: str, head: str) -> re.Pattern[str] | None:
    """Finds an end of turn before the head of a header."""
    longest = sorted(filter(None, {*ends, spelled}), key=len, reverse=True)
    if not longest:
        return None
    return re.compile(rf"(?:{'|'.join(map(re.escape, longest))})(?=\s*{re.escape(head)})")


def _cut(mine: Found, items: list[_Item], cuts: list[tuple[int, int]]) -> None:
    """Divide what is known of a message at places in its items; ``cuts`` holds with each place the
    character behind the end of turn.
    """
    own = mine.own
    assert own is not None
    whole = Found(
        own=own,
        content=mine.content,
        thinking=mine.thinking,
        inline=mine.inline,
        names=mine.names,
        arguments=mine.arguments,
        ids=mine.ids,
        scopes=mine.scopes,
        rest=mine.rest,
    )
    edges = [0, *(place for place, _ in cuts), len(items)]
    begins = [own[0], *(behind for _, behind in cuts)]
    stops = [*begins[1:], None]
    turn = mine
    for number, (low, high) in enumerate(pairwise(edges)):
        if number:
            turn.rest = Found(looped=mine.looped, begins=begins[number])
            turn = turn.rest
        _take(turn, whole, items[low:high], begins[number] if number else None, stops[number])
    mine.own = own[0], items[edges[1] - 1].end
    turn.own = items[edges[-2]].start, own[1]
    turn.rest = whole.rest


def _take(
    turn: Found, whole: Found, items: list[_Item], start: int | None, stop: int | None
) -> None:
    """Give a turn what of a message stands in characters ``[start, stop)``; None is no limit."""

    def inside(part: Part) -> bool:
        return (start is None or part.start >= start) and (stop is None or part.start < stop)

    turn.own = items[0].start, max(item.end for item in items)
    for kind in ("content", "thinking", "inline"):
        setattr(turn, kind, [part for part in getattr(whole, kind) if inside(part)])
    mine = {item.call for item in items if item.call >= 0}
    if start is None:  # what is nowhere else
        mine |= (whole.arguments.keys() | whole.scopes.keys()) - whole.names.keys()
    for kind in ("names", "arguments", "ids", "scopes"):
        known = getattr(whole, kind)
        setattr(turn, kind, {call: known[call] for call in known if call in mine})
