"""What is kept of a render that is longer than ``max_length``, and what becomes of its spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cbdata.records.words import Overlength
from cbdata.rejects import Reject


@dataclass(frozen=True)
class Cut:
    """The token ranges that are kept: ``[0, head)`` and ``[tail, length)``; ``tail == head`` where
    nothing is cut out between.

    ``side`` is none, right or window.
    """

    head: int
    tail: int
    length: int
    side: str

    @property
    def kept(self) -> int:
        """Tokens that are left."""
        return self.head + self.length - self.tail

    def move(self, position: int) -> int:
        """Where a boundary between tokens comes to stand; one inside the gap moves to the gap's
        place.
        """
        if position <= self.head:
            return position
        return self.head + max(position - self.tail, 0) if self.tail < self.length else self.head

    def holds(self, token: int) -> bool:
        """Whether a token is kept."""
        return token < self.head or self.tail <= token < self.length


def choose_cut(length: int, max_length: int, mode: Overlength, turns: Sequence[Any]) -> Cut:
    """Decide what to keep of a render.

    Args:
        length: Its tokens.
        max_length: The tokens that may stay.
        mode: ``truncate`` keeps the first ``max_length`` tokens. ``window`` keeps everything up to
            the end of the leading system message, and the end of the render, which starts with a
            whole turn if one fits. ``reject`` keeps nothing.
        turns: Message spans as in render_v1, before the cut.

    Raises:
        Reject: ``too_long`` in mode ``reject``; ``window_too_small`` where the system message
            leaves no room.
    """
    if length <= max_length:
        return Cut(length, length, length, "none")
    if mode == "reject":
        raise Reject("too_long", f"{length} tokens, max_length is {max_length}")
    if mode == "truncate":
        return Cut(max_length, length, length, "right")
    head = turns[0]["token_end"] if turns and turns[0]["role"] == "system" else 0
    # What stands between the system message's end and the next turn (a newline) stays with it.
    head = turns[1]["token_start"] if head and len(turns) > 1 else head
    room = max_length - head
    if room <= 0:
        raise Reject(
            "window_too_small",
            f"the system message takes {head} tokens, max_length is {max_length}",
        )
    earliest = length - room
    starts = [turn["token_start"] for turn in turns if turn["token_start"] >= earliest]
    return Cut(head, starts[0] if starts else earliest, length, "window")


def cut_spans(
    rows: list[dict[str, Any]], cut: Cut, pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Move the spans of some rows to where their tokens stand after a cut.

    Args:
        rows: Records with token positions; they are not changed.
        cut: What is kept.
        pairs: The ``(start, end)`` fields to move. A row whose first pair is left empty goes.
    """
    kept = []
    for row in rows:
        moved = dict(row)
        for start, end in pairs:
            moved[start], moved[end] = cut.move(row[start]), cut.move(row[end])
        if moved[pairs[0][0]] < moved[pairs[0][1]]:
            kept.append(moved)
    return kept


def cut_commitments(rows: list[dict[str, Any]], cut: Cut) -> list[dict[str, Any]]:
    """Commitments whose every token is kept, moved; the others say nothing any more."""
    return [
        {
            **row,
            "commitment_token_idx": cut.move(row["commitment_token_idx"]),
            "prefix_token_indices": [cut.move(token) for token in row["prefix_token_indices"]],
        }
        for row in rows
        if cut.holds(row["commitment_token_idx"])
        and all(cut.holds(token) for token in row["prefix_token_indices"])
    ]
