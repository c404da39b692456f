"""Calls as JSON behind a marker, shared by the formats that use them."""

from __future__ import annotations

import re
from typing import NamedTuple

from cbdata.call_formats.base import Block, Fault, View
from cbdata.call_formats.json_calls import Keys, read_call, read_list


class Markup(NamedTuple):
    """What stands around calls; the patterns are for a view's shape.

    - ``opening``: the marker, without white space behind it
    - ``closing``: what must follow the calls, with white space before it; None: nothing
    - ``name``: a word for it
    - ``lists``, ``objects``: whether a list of call objects may stand behind the marker, or one
    """

    opening: re.Pattern[str]
    closing: re.Pattern[str] | None
    name: str
    lists: bool = True
    objects: bool = False


def marked_blocks(view: View, start: int, markup: Markup, keys: Keys) -> list[Block] | Fault:
    """Read one block per marker.

    Args:
        view: The completion.
        start: Where to look for the first marker.
        markup: The markers, and what stands between them.
        keys: The keys that hold a call's name and arguments.

    Returns:
        The blocks in order, or a Fault at the first marker that is not followed by a whole call.
    """
    found: list[Block] = []
    pos = start
    while opening := markup.opening.search(view.shape, pos):
        at = view.skip_space(opening.end())
        if view.text.startswith("[", at) and markup.lists:
            calls = read_list(view, at, keys, markup.name)
        elif view.text.startswith("{", at) and markup.objects:
            call = read_call(view, at, keys, markup.name)
            calls = call if isinstance(call, Fault) else ((call,), call.end)
        else:
            return Fault(opening.start(), f"{markup.name} without a call behind it")
        if isinstance(calls, Fault):
            return calls
        pos = calls[1]
        if markup.closing is not None:
            close = markup.closing.match(view.shape, pos)
            if close is None:
                return Fault(pos, f"{markup.name} that is not closed behind its calls")
            pos = close.end()
        found.append(Block(opening.start(), pos, calls[0]))
    return found
