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
    return int(turns[-1]["token_start"])
