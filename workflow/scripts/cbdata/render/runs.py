"""A rendered text cut into runs: each from one value of the conversation, or text of the template
with the message and call that it was printed for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cbdata.render.instrument import at_work, leave
from cbdata.render.traced_text import Origin, Part, TracedText, add_mark, new_tuple, shifted

NOWHERE = Origin("literal", -1)


class Run(NamedTuple):
    """Characters ``[start, end)`` of a text, as part ``part`` of it (None: the template's own text,
    of kind ``literal``). ``scope``: the message and the call (-1: none) that the template was at.
    """

    start: int
    end: int
    kind: str
    message: int
    call: int
    scope: tuple[int, int]
    part: Part | None = None


def collect(chunks: Iterable[str]) -> tuple[str, list[Part]]:
    """The rendered text and its parts, in the order in which the template printed them."""
    texts: list[str] = []
    parts: list[Part] = []
    position = 0
    for chunk in chunks:
        if isinstance(chunk, TracedText):
            if chunk:
                parts += shifted(chunk.parts, position) if position else chunk.parts
            else:
                for part in chunk.parts:
                    add_mark(parts, part.origin, position)
        if chunk:
            texts.append(chunk)
            position += len(chunk)
    return "".join(texts), parts


def flatten(parts: Sequence[Part], length: int) -> list[Run]:
    """The runs of a text of ``length`` characters, in order and without gaps. Empty values have
    empty runs.
    """
    runs: list[Run] = []
    scope: list[Origin] = []
    whole: list[tuple[int, Origin]] = []  # calls that are printed as one, and where they end
    cursor = 0

    def add(end: int, at: Origin) -> None:
        nonlocal cursor
        if end > cursor:
            place = at[1], at[2]
            runs.append(new_tuple(Run, (cursor, end, "literal", *place, place, None)))
            cursor = end

    def literal(end: int) -> None:
        while whole and whole[-1][0] <= end:
            stop, origin = whole.pop()
            add(stop, origin)
            leave(scope, origin)
        if end > cursor:
            add(end, at_work(scope) if scope else NOWHERE)

    for part in parts:
        start, end, origin, _, _, _ = part
        kind, message, call, _ = origin
        if whole or start > cursor:
            literal(start)
        if kind == "visit_start":
            scope.append(origin)
        elif kind == "visit_end":
            leave(scope, origin)
        elif kind == "call":
            whole.append((end, origin))
            scope.append(origin)
        elif kind == "literal":
            add(end, origin)
        elif end > cursor or start == end:
            at = at_work(scope) if scope else NOWHERE
            first = max(cursor, start)
            cursor = max(cursor, end)
            runs.append(new_tuple(Run, (first, cursor, kind, message, call, (at[1], at[2]), part)))
    literal(length)
    return runs
