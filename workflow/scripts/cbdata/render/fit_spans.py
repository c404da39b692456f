"""From turns of a fitted conversation back to the messages and calls of the trace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cbdata.rejects import Reject
from cbdata.render.fits import JOINED, Fitting, Source
from cbdata.render.traced_text import Part
from cbdata.render.turns import Turn


def restored(turns: Sequence[Turn], fitting: Fitting) -> list[Turn]:
    """The turns under the indices and roles of the trace.

    A message that was divided has several turns, each of a part of it; messages that were joined
    have a turn each, the header being the first one's and the end of the turn the last one's.

    Args:
        turns: The turns of the fitted conversation.
        fitting: How it was made.

    Raises:
        Reject: ``content_not_placed``: the text does not show where a joined message begins.
    """
    if fitting.fitted is None:
        return list(turns)
    out: list[Turn] = []
    for turn in turns:
        out += _divided(turn, fitting.fitted[turn.index].sources)
    return out


def _divided(turn: Turn, sources: Sequence[Source]) -> Iterator[Turn]:
    last = len(sources) - 1
    begin = turn.start
    for number, source in enumerate(sources):
        if number and source.calls and source.start == source.end:
            yield _calls_alone(turn, source)
            return
        shown = [part for piece in turn.pieces for part in _cut(piece, source)]
        if last and not any(part.start < part.end for part in shown):
            raise Reject(
                "content_not_placed",
                f"message {source.index}: joined with a neighbour {JOINED}, and not found",
            )
        first_char = min((part.start for part in shown), default=turn.content_start)
        end_char = max((part.end for part in shown), default=turn.content_end)
        yield replace(
            turn,
            index=source.index,
            role=source.role,
            start=begin if number == 0 else first_char,
            end=turn.end if number == last else end_char,
            own_start=turn.own_start if number == 0 else first_char,
            content_start=turn.content_start if number == 0 else first_char,
            content_end=turn.content_end if number == last else end_char,
            calls=[replace(call, index=source.calls[call.index]) for call in turn.calls]
            if number == last
            else [],
            thinking=turn.thinking if number == 0 else [],
            thinking_left_out=turn.thinking_left_out and number == 0,
            pieces=shown,
        )


def _calls_alone(turn: Turn, source: Source) -> Turn:
    """The turn of calls without text that were joined to an answer: it begins where they do."""
    if not turn.calls:
        raise Reject(
            "content_not_placed",
            f"message {source.index}: its calls stand in another turn than the answer that they"
            f" were joined to {JOINED}",
        )
    begin = turn.calls[0].start
    if any(part.end > begin for part in turn.pieces if part.start < part.end):
        raise Reject(
            "content_not_placed",
            f"message {source.index}: its calls are printed before the answer that they were"
            f" joined to {JOINED}",
        )
    return replace(
        turn,
        index=source.index,
        role=source.role,
        start=begin,
        own_start=begin,
        content_start=begin,
        calls=[replace(call, index=source.calls[call.index]) for call in turn.calls],
        thinking=[],
        thinking_left_out=False,
        pieces=[],
    )


def _cut(piece: Part, source: Source) -> Iterator[Part]:
    """What a piece of the joined content shows of one message's, by positions in that message."""
    length = len(piece.escape) if piece.escape is not None else piece.end - piece.start
    low, high = max(source.start, piece.source), min(source.end, piece.source + length)
    if low > high or (low == high and source.start < source.end):
        return
    a, b = low - piece.source, high - piece.source
    escape = None if piece.escape is None else piece.escape[a:b]
    yield piece._replace(
        start=piece.start + _printed(piece, a),
        end=piece.start + _printed(piece, b),
        source=low - source.start,
        escape=escape,
    )


def _printed(piece: Part, length: int) -> int:
    """How many characters the first ``length`` of a piece take up in the text."""
    if piece.escape is None or piece.end - piece.start == len(piece.escape):
        return length
    return len(json.dumps(piece.escape[:length], ensure_ascii=False)) - 2
