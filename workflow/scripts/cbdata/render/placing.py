"""Which stretch of a rendered text each message takes up: from its first own character to the last,
and how the template's text between two messages is shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from cbdata.rejects import Reject
from cbdata.render.runs import Run
from cbdata.render.traced_text import Part

Control = tuple[int, int, str]


@dataclass(slots=True)
class Found:
    """What the runs say of one message.

    ``own``: the stretch from its first to its last own character, ``empty``: where an empty value
    of it is printed, ``visited``: the template's text that is printed for it. For its calls, by
    number: ``names``, ``arguments``, ``ids``; ``scopes``: the template's text that is printed for
    the call. ``looped``: marks say which text is printed for the message, and not only which is
    printed for its calls. ``rest``: what of it stands in a turn of its own behind this, of which
    ``begins`` is the start where an end of turn stands before it.
    """

    own: tuple[int, int] | None = None
    empty: int | None = None
    visited: list[tuple[int, int]] = field(default_factory=list)
    content: list[Part] = field(default_factory=list)
    thinking: list[Part] = field(default_factory=list)
    inline: list[Part] = field(default_factory=list)
    names: dict[int, list[Part]] = field(default_factory=dict)
    arguments: dict[int, list[Part]] = field(default_factory=dict)
    ids: dict[int, list[Part]] = field(default_factory=dict)
    scopes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    looped: bool = False
    rest: Found | None = None
    begins: int | None = None

    def turns(self) -> Iterator[Found]:
        """This and what stands in turns of their own behind it."""
        turn: Found | None = self
        while turn:
            yield turn
            turn = turn.rest

    @property
    def whole_content(self) -> list[Part]:
        """Its content, wherever it stands."""
        if self.rest is None:
            return self.content
        return [part for turn in self.turns() for part in turn.content]


@dataclass(slots=True)
class Block:
    """A message in the order of the text: its own characters are ``[first, last)``. ``is_rest``: it
    is the ``rest`` of a message.
    """

    index: int
    first: int
    last: int
    found: Found
    is_rest: bool = False


def is_own(run: Run) -> bool:
    """Whether a run is a message's own text, wherever it stands. What is printed of a call for
    another message, such as its result, is not.
    """
    if run.kind in ("content", "thinking", "inline"):
        return True
    return run.kind in ("name", "arguments") and run.scope[0] in (-1, run.message)


def gather(runs: Sequence[Run], count: int) -> list[Found]:
    """What the runs say of each of ``count`` messages.

    Raises:
        Reject: A message is printed twice, or stands in two places with another one between.
    """
    found = [Found() for _ in range(count)]
    current = -1
    for run in runs:
        start, end, kind, message, call, (scope, within), part = run
        if kind == "literal":
            if message >= 0:
                mine = found[message]
                mine.visited.append((start, end))
                if call >= 0:
                    mine.scopes.setdefault(call, []).append((start, end))
                else:
                    mine.looped = True
            continue
        mine = found[message]
        assert part is not None
        if mine.rest and message == current and kind in ("content", "inline"):
            mine = mine.rest
        again = kind == "name" and mine.own is not None and message != current
        if again or not is_own(run):
            if call >= 0 and kind == "id" and scope == message:
                mine.ids.setdefault(call, []).append(part)
            elif scope >= 0:
                found[scope].visited.append((start, end))
            continue
        if scope == message and within == -1:
            mine.looped = True
        if kind == "content":
            mine.content.append(part)
        elif kind == "name":
            mine.names.setdefault(call, []).append(part)
        elif kind == "arguments":
            mine.arguments.setdefault(call, []).append(part)
        else:
            getattr(mine, kind).append(part)
        if start == end:
            if mine.empty is None or scope == message:
                mine.empty = start
            continue
        if mine.own is None:
            mine.own = start, end
        elif message == current:
            mine.own = mine.own[0], end
        elif kind == "content" and mine.names and _begins_rest(mine, part):
            # Gemma 4 prints the text of a turn behind the results of its calls.
            mine.content.remove(part)
            mine.rest = Found(own=(start, end), content=[part], looped=mine.looped)
        else:
            again = any(
                other is not part and other.source <= part.source < other.source + other.covered()
                for other in mine.content
            )
            raise Reject(
                "message_rendered_twice" if again else "turns_overlap",
                f"message {message} stands at character {mine.own[0]} and, behind another"
                f" message, at {start}",
            )
        current = message
    return found


def _begins_rest(mine: Found, part: Part) -> bool:
    """Whether a piece of content behind other messages is the first of its message's content."""
    return mine.rest is None and not any(
        other.start < other.end for other in mine.content if other is not part
    )


def blocks_of(
    found: Sequence[Found],
    messages: Sequence[Mapping[str, Any]],
    controls: Sequence[Control],
) -> list[Block]:
    """The messages in the order of the text.

    Raises:
        Reject: ``message_not_rendered``: nothing is printed for a message that says something.
    """
    blocks: list[Block] = []
    for index, (mine, message) in enumerate(zip(found, messages, strict=True)):
        if mine.own is not None:
            first, last = mine.own
        elif mine.empty is not None:
            first = last = mine.empty
        elif mine.visited:
            first = last = _empty_place(mine.visited, controls)
        elif says_nothing(message):
            first = last = _behind_all(found, index)
        else:
            raise Reject("message_not_rendered", f"the template prints nothing for message {index}")
        blocks.append(Block(index, first, last, mine))
        if mine.rest:
            rest = list(mine.turns())[1:]
            blocks += [Block(index, *each.own, each, is_rest=True) for each in rest if each.own]
    if all(left.last <= right.first for left, right in pairwise(blocks)):
        return blocks
    return sorted(blocks, key=lambda block: (block.first, block.last))


def _behind_all(found: Sequence[Found], index: int) -> int:
    """The character behind all that is printed for the messages before one, but not behind the
    beginning of a later one's.
    """
    places = [mine.empty or 0 for mine in found[:index]]
    places += [mine.own[1] for mine in found[:index] if mine.own]
    places += [mine.visited[-1][1] for mine in found[:index] if mine.visited]
    later = [mine.own[0] for mine in found[index + 1 :] if mine.own]
    return min([max(places, default=0), *later])


def says_nothing(message: Mapping[str, Any]) -> bool:
    """Whether there is nothing in a message to be printed."""
    return not (message["content"].strip() or message.get("tool_calls") or message.get("thinking"))


def _empty_place(visited: Sequence[tuple[int, int]], controls: Sequence[Control]) -> int:
    """Where the content of a message would stand of which only header and end are printed."""
    start, end = visited[0][0], visited[-1][1]
    last = [low for low, high, _ in controls if start < low and high <= end]
    return last[-1] if last else end


@dataclass(slots=True)
class Gap:
    """The template's text between two messages: ``[start, closed)`` is printed for the one before,
    ``[opened, end)`` for the one behind. ``marked``: something is printed for the one behind.
    """

    start: int
    closed: int
    opened: int
    end: int
    marked: bool


def share(
    runs: Sequence[Run], cursor: int, before: Block | None, behind: Block | None, length: int
) -> tuple[Gap, int]:
    """The gap between two messages, and a run that does not end behind the next gap's start.

    Args:
        runs: The runs of the text.
        cursor: A run that does not end behind the gap's start.
        before: The message before, None at the start of the text.
        behind: The message behind, None at its end.
        length: Characters of the text.
    """
    start = before.last if before else 0
    end = behind.first if behind else length
    count = len(runs)
    while cursor < count and runs[cursor][1] <= start:
        cursor += 1
    closed = start
    opened: int | None = None
    index = before.index if before else None
    last = cursor
    while opened is None and last < count:
        low, high, _, _, _, (owner, _), _ = runs[last]
        if low >= end:
            break
        if owner == index:
            closed = min(high, end)
        elif owner >= 0:
            opened = max(low, start)
        last += 1
    gap = Gap(start, closed, closed if opened is None else opened, end, opened is not None)
    return gap, cursor
