"""The law of a rendered text: every character of it belongs to exactly one thing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Literal, NamedTuple

from cbdata.rejects import Reject
from cbdata.render.traced_text import new_tuple
from cbdata.render.turns import Turn

Kind = Literal[
    "bos", "unowned", "header", "reasoning", "content", "call", "closing", "separator", "end"
]


class Stretch(NamedTuple):
    """Characters ``[start, end)`` of a text and what they are.

    ``bos``: the token that starts a sequence. ``unowned``: text of no message (a tool list, a
    default prompt). Of message ``message``: ``header``, ``reasoning`` (markers included),
    ``content``, ``call`` number ``call`` (the first one with the opening of the call section),
    ``closing`` (of the call section), ``separator`` (the template's own text between these),
    ``end`` (of the turn).
    """

    start: int
    end: int
    kind: Kind
    message: int = -1
    call: int = -1


def partition(turns: Sequence[Turn], length: int, bos: int = 0) -> list[Stretch]:
    """The stretches of a text, without the empty ones.

    Args:
        turns: The turns, in the order of the text.
        length: Characters of the text.
        bos: Characters of the token with which it starts.

    Raises:
        Reject: ``partition_broken``: a stretch would belong to two things.
    """
    out: list[Stretch] = []
    cursor = 0

    def put(end: int, kind: Kind, message: int = -1, call: int = -1) -> None:
        nonlocal cursor
        if not cursor <= end <= length:
            raise Reject(
                "partition_broken",
                f"characters [{end}, {cursor}) of {length} would be {kind} of message {message},"
                f" and are {out[-1].kind if out else 'nothing'} of message"
                f" {out[-1].message if out else -1} already",
            )
        if end > cursor:
            out.append(new_tuple(Stretch, (cursor, end, kind, message, call)))
            cursor = end

    put(bos, "bos")
    for turn in turns:
        index = turn.index
        if turn.start != cursor:
            put(turn.start, "unowned")
        put(turn.own_start, "header", index)
        calls = False
        for start, end, kind, call in sorted(_inside(turn), key=_place):
            if start != cursor:
                put(start, "closing" if kind == "end" and calls else "separator", index)
            put(end, kind, index, call)
            calls = calls or kind == "call"
        if turn.end != cursor:
            put(turn.end, "closing" if calls else "separator", index)
    put(length, "unowned")
    return out


_place = itemgetter(0, 1)


def _inside(turn: Turn) -> Iterable[tuple[int, int, Kind, int]]:
    for start, end in turn.thinking:
        yield start, end, "reasoning", -1
    for part in turn.pieces:
        if part.start < part.end:
            yield part.start, part.end, "content", -1
    for call in turn.calls:
        yield call.start, call.end, "call", call.index
    if turn.stop is not None:
        yield *turn.stop, "end", -1
