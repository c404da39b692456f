"""Reasoning in a text that a chat template printed: where it stands, whether it is all there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cbdata.call_formats.reasoning import NOTATIONS
from cbdata.rejects import Reject
from cbdata.render.traced_text import Part

CLOSINGS = tuple(notation.closing for notation in NOTATIONS)
_WORD = "(?i:think|thinking|thoughts?|reason|reasoning|reflection|analysis|scratchpad)"
"""What templates of one's own call a tag around reasoning. Only what the template itself prints is
looked at for these: in a content they are the model's words.
"""
_OPENINGS = "|".join(
    [re.escape(each.opening + each.label.rstrip()) for each in NOTATIONS]
    + [rf"<{_WORD}>", rf"\[{_WORD}\]"]
)
_CLOSING = "|".join([*map(re.escape, CLOSINGS), rf"</{_WORD}>", rf"\[/{_WORD}\]"])
_OPENED = re.compile(rf"(?:{_OPENINGS})\s*\Z")
_BEGUN = re.compile(rf"\s*(?:{'|'.join(re.escape(e.opening + e.label) for e in NOTATIONS)})")
_CLOSED = re.compile(rf"\s*(?:{_CLOSING})")
_EMPTY = re.compile(rf"\s*(?:(?:{_OPENINGS})\s*)?(?:{_CLOSING})\s*")


def may_reason(source: str) -> bool:
    """Whether a template's source has anything to do with reasoning."""
    return "reasoning" in source or re.search(_CLOSING, source) is not None


def thinking_span(
    text: str, parts: Sequence[Part], own_start: int, edge: int, *, begins: bool
) -> tuple[int, int]:
    """The characters ``[start, end)`` of a turn's reasoning with the markers around it, as far as
    the turn's own text has them.

    Args:
        text: The rendered text.
        parts: The stretches that show the reasoning; at least one.
        own_start: Where the turn's own text starts: behind a marker that the generation prompt
            ends with.
        edge: Where the message's content begins behind the reasoning: no marker is looked for
            there, for it would be the model's words.
        begins: Whether the turn says nothing before: what the template prints before it opens it,
            in whatever notation.
    """
    start, end = min(part.start for part in parts), max(part.end for part in parts)
    opened = _OPENED.search(text, own_start, start)
    closed = _CLOSED.match(text, end, max(edge, end))
    if opened:
        start = opened.start()
    elif begins and own_start < start:
        start = own_start + len(text[own_start:start]) - len(text[own_start:start].lstrip())
    return start, closed.end() if closed else end


def behind_empty_block(text: str, own_start: int, edge: int) -> int:
    """The character behind a block for reasoning that the template printed of itself at
    ``own_start``, and behind the white space after it; ``own_start`` where there is none.

    ``edge`` is where the turn's content begins: nothing behind it is the template's own.
    """
    found = _EMPTY.match(text, own_start, edge)
    return found.end() if found else own_start


def inline_reasoning(content: str) -> tuple[int, int, int, int] | None:
    """Where the reasoning stands with which a text begins: its start, the end of the opening
    marker, the start of the closing marker and the end; None where the text begins otherwise.
    """
    if _BEGUN.match(content) is None:
        return None
    start = len(content) - len(content.lstrip())
    for notation in NOTATIONS:
        opening = notation.opening + notation.label
        if content.startswith(opening, start):
            opened = start + len(opening)
            closed = content.find(notation.closing, opened)
            if closed >= 0:
                return start, opened, closed, closed + len(notation.closing)
    return None


def left_out(original: str, parts: Sequence[Part]) -> str:
    """A string from the first character on that none of its parts shows; "" where that is at most
    white space at its edges.
    """
    if len(parts) == 1 and parts[0].source == 0 and parts[0].covered() >= len(original):
        return ""
    wanted = original.strip()
    if not wanted:
        return ""
    begin = original.index(wanted)
    reached = begin
    for part in sorted(parts, key=lambda part: part.source) if len(parts) > 1 else parts:
        if part.source > reached and original[reached : part.source].strip():
            break
        reached = max(reached, part.source + part.covered())
    return original[reached:] if original[reached : begin + len(wanted)].strip() else ""


def is_printed(
    thinking: str, parts: Sequence[Part], index: int, shown: str, *, may_drop: bool
) -> bool:
    """Whether a message's reasoning is printed; a template may leave it out as a whole or not at
    all.

    Args:
        thinking: The reasoning.
        parts: The stretches that show it.
        index: Of the message.
        shown: The text of its turn.
        may_drop: Whether the template may leave it out.

    Raises:
        Reject: Only a part is printed, nothing though it must be, or in a way that hides its place.
    """
    missing = left_out(thinking, parts)
    if not missing:
        return True
    if any(part.start < part.end for part in parts) or not may_drop:
        raise Reject(
            "thinking_dropped",
            f"message {index}: the template leaves out {missing[:60]!r}",
        )
    if missing.strip() in shown:
        raise Reject(
            "thinking_not_placed",
            f"message {index}: {missing[:60]!r} is printed by a step that hides where it comes"
            " from",
        )
    return False
