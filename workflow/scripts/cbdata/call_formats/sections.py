"""Sections of several calls between two markers, shared by the formats that have them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from cbdata.call_formats.base import Block, Call, Fault, View


class Section(NamedTuple):
    """What stands around the calls; the patterns are for a view's shape.

    - ``opening``: the marker that opens a section
    - ``close``: the marker that closes it, with white space before it
    - ``name``: a word for it
    """

    opening: re.Pattern[str]
    close: re.Pattern[str]
    name: str


def section_blocks(
    view: View,
    start: int,
    section: Section,
    read_next: Callable[[View, int], Call | Fault | None],
) -> list[Block] | Fault:
    """A block per section from ``start`` on; nothing but calls may stand in it.

    Args:
        view: the completion.
        start: where to begin.
        section: what stands around the calls.
        read_next: the call at a place, white space before it skipped; None: no call begins there.
    """
    found: list[Block] = []
    pos = start
    while opening := section.opening.search(view.shape, pos):
        calls: list[Call] = []
        pos = opening.end()
        while (call := read_next(view, pos)) is not None:
            if isinstance(call, Fault):
                return call
            calls.append(call)
            pos = call.end
        close = section.close.match(view.shape, pos)
        if close is None or not calls:
            return Fault(pos, f"{section.name} without calls and its end behind them")
        pos = close.end()
        found.append(Block(opening.start(), pos, tuple(calls)))
    return found
