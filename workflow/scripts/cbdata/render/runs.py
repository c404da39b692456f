"""A rendered text cut into runs: each from one value of the conversation, or text of the template
with the message and call that it was printed for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cbdata.render.instrument import at_work, leave
from cbdata.render.traced_text import Origin, Part, TracedText, add_mark, shifted

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
                parts += shifted(chunk.parts, position)
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

    def literal(end: int) -> None:
        nonlocal cursor
        while whole and whole[-1][0] <= end:
            stop, origin = whole.pop()
            add(stop, origin)
            leave(scope, origin)
        if end > cursor:
            add(end, at_work(scope) if scope else NOWHERE)

    def add(end: int, at: Origin) -> None:
        nonlocal cursor
        if end > cursor:
            runs.append(Run(cursor, end, "literal", at[1], at[2], (at[1], at[2])))
            cursor = end

    for part in parts:
        kind, message, call, _ = origin = part.origin
        if kind == "visit_start":
            literal(part.start)
            scope.append(origin)
            continue
        if kind == "visit_end":
            literal(part.start)
            leave(scope, origin)
            continue
        literal(part.start)
        if kind == "call":
            whole.append((part.end, origin))
            scope.append(origin)
        elif kind == "literal":
            add(part.end, origin)
        elif part.end > cursor or part.start == part.end:
            at = at_work(scope) if scope else NOWHERE
            start = max(cursor, part.start)
            cursor = max(cursor, part.end)
            runs.append(Run(start, cursor, kind, message, call, (at[1], at[2]), part))
    literal(length)
    return runs
