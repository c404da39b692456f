"""Where the last assistant turn of a trace begins in its render: what is a prompt, what a
completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def completion_start(render: Mapping[str, Any]) -> int | None:
    """The token at which the model's own text in the last assistant turn of the trace begins.

    That is the last turn of the trace, not merely the last of which a cut at ``max_length`` left
    something. ``prompt.length`` says where it begins. A render has no ``prompt`` where the trace
    has no assistant turn, where a cut on the right took the turn away, and where a window moved
    it; the end that a window keeps holds no assistant turn behind the last one's.

    Args:
        render: A render_v1 record. Only its spans and options are read.

    Returns:
        A token position of the render, or None where the turn is not in it. The position is the
        render's length where the prompt alone fills it.
    """
    prompt = render.get("prompt")
    if prompt is not None:
        return int(prompt["length"])
    turns = render["alignment"]["assistant_spans"]
    if not turns or render["render_options"]["truncation_side"] == "right":
        return None
    return int(min(turns[-1]["token_start"], reasoning_start(render, turns[-1])))


def reasoning_start(render: Mapping[str, Any], turn: Mapping[str, Any]) -> int:
    """The token at which a turn's first reasoning begins, or its content where it has none.

    Args:
        render: A render_v1 record.
        turn: One of its assistant spans, which hold no reasoning that comes before the content.
    """
    starts = (
        span["token_start"]
        for span in render["alignment"].get("thinking_spans", ())
        if span["message_index"] == turn["message_index"]
    )
    return int(next(starts, turn["token_start"]))


def completion_span(render: Mapping[str, Any]) -> tuple[int, int] | None:
    """The tokens ``[start, end)`` of the last assistant turn's own text, reasoning included; None
    where the render holds nothing of it.

    A cut may have left reasoning alone. Arguments as for ``completion_start``.
    """
    own = completion_spans(render)
    return (own[0][0], own[-1][1]) if own else None


def completion_spans(render: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The same as one stretch for each turn of the last assistant message, in order: it has several
    where it was divided (``template_fit``) or its text is printed behind the results of its calls,
    and what stands between them is not the model's.

    A stretch may be empty, and is not there where a cut left nothing of it.
    """
    start = completion_start(render)
    turns = render["alignment"]["assistant_spans"]
    if start is None:
        return []
    last = turns[-1]["message_index"] if turns else None
    thoughts = [
        span
        for span in render["alignment"].get("thinking_spans", ())
        if span["token_start"] >= start
    ]
    own = [
        (turn["token_start"], turn["token_end"])
        for turn in turns
        if turn["message_index"] == last and turn["token_start"] >= start
    ]
    if thoughts:
        low = min(span["token_start"] for span in thoughts)
        high = max(span["token_end"] for span in thoughts)
        if not own:
            return [(low, high)]
        if low < own[0][0]:
            own[0] = low, max(own[0][1], high)
    return own
