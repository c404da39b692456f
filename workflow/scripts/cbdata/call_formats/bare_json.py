"""JSON objects without markup, as the whole answer, shared by the formats that use them."""

from __future__ import annotations

import re

from cbdata.call_formats.base import Block, Fault, View, with_fence
from cbdata.call_formats.json_calls import Keys, read_call, read_list

_CANDIDATE = re.compile(r"[{\[]")
JOIN = re.compile(r"\s*+[;,]?\s*+")
_CALL_BEGUN = re.compile(
    r"""[\[\s]*+(?:\{\s*+)++["'“]?(?:name|parameters|arguments|function|tool_calls?|type)["'”]?\s*+:"""
)


def bare_blocks(view: View, start: int, keys: Keys) -> list[Block] | Fault:
    """Read objects, or lists of them, joined by white space, ``;`` or ``,``.

    Reading ends at the first thing that is no call. If it was begun as a call, the result is a
    Fault; otherwise it is prose.

    Args:
        view: The completion.
        start: Where to look for the first bracket.
        keys: The keys that hold a call's name and arguments.

    Returns:
        The blocks in order, a code fence around them included; empty if there is no call.
    """
    found: list[Block] = []
    first = _CANDIDATE.search(view.text, start)
    pos = first.start() if first else len(view.text)
    while pos < len(view.text) and view.text[pos] in "{[":
        block = _list(view, pos, keys) if view.text[pos] == "[" else _object(view, pos, keys)
        if isinstance(block, Fault):
            if found or _CALL_BEGUN.match(view.text, pos):
                return block
            break
        # What joins two calls is markup of its own.
        if found and found[-1].end < block.start:
            found.append(Block(found[-1].end, block.start, marked=False))
        found.append(block)
        join = JOIN.match(view.text, block.end)
        pos = join.end() if join else block.end
    return with_fence(view, found, start)


def _object(view: View, pos: int, keys: Keys) -> Block | Fault:
    call = read_call(view, pos, keys, "bare")
    return call if isinstance(call, Fault) else Block(pos, call.end, (call,), marked=False)


def _list(view: View, pos: int, keys: Keys) -> Block | Fault:
    found = read_list(view, pos, keys, "bare")
    return found if isinstance(found, Fault) else Block(pos, found[1], found[0], marked=False)
