"""What masks and analyses need beyond the spans: where a tool choice is settled, and where the
injection stands.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cbdata.records import CharSpan
from cbdata.rejects import Reject
from cbdata.render.align import TokenizedText
from cbdata.render.layout import CallSpan, Turn
from cbdata.render.traced_text import Part


@functools.lru_cache(maxsize=4096)
def guarantee_prefix(name: str, tool_names: tuple[str, ...] | None) -> str | None:
    """The shortest prefix of ``name`` that no other tool's name starts with, or None where only the
    whole name settles it.

    None as well without tool names: then nothing is known of the alternatives.
    """
    if tool_names is None:
        return None
    others = [other for other in tool_names if other != name]
    for length in range(1, len(name) + 1):
        if not any(other.startswith(name[:length]) for other in others):
            return name[:length]
    return None


def commitment(
    turn: Turn,
    call: CallSpan,
    tokens: TokenizedText,
    tool_names: tuple[str, ...] | None,
    expected_tool: str | None,
) -> dict[str, Any]:
    """The action commitment of one call: the token at which the tool is settled, and the tokens of
    the name up to it.

    ``commit_type`` is ``parse_unambiguous`` where a prefix settles the tool among the schema's
    tools, and ``tool_name_selected`` where the whole name is needed.

    Args:
        turn: The turn that makes the call.
        call: Where the call stands in the text.
        tokens: The tokens of the text.
        tool_names: The names that the model could choose from; None where they are not known.
        expected_tool: The tool that the task asks for, if the trace says.
    """
    prefix = guarantee_prefix(call.name, tool_names)
    settled = call.name if prefix is None else prefix
    printed = len(settled)
    if call.name_end - call.name_start != len(call.name):  # the template printed the name as JSON
        printed = len(json.dumps(settled, ensure_ascii=False)) - 2
    start, end = tokens.start(call.name_start), tokens.end(call.name_start + printed)
    return {
        "assistant_message_index": turn.index,
        "call_index": call.index,
        "commitment_token_idx": end - 1,
        "commit_type": "tool_name_selected" if prefix is None else "parse_unambiguous",
        "committed_tool": call.name,
        "expected_tool": expected_tool,
        "guarantee_prefix": settled,
        "prefix_token_indices": list(range(start, end)),
    }


def injection_token_spans(
    places: Iterable[CharSpan],
    messages: Sequence[Mapping[str, Any]],
    turns: Sequence[Turn],
    tokens: TokenizedText,
) -> list[dict[str, int]]:
    """The token spans of the injection, one for each stretch of the text that shows a part of it.

    Args:
        places: Where the injection stands in the contents of the messages.
        messages: The messages of the trace.
        turns: The same messages as they stand in the rendered text, in the same order.
        tokens: The tokens of the rendered text.

    Returns:
        ``{message_index, token_start, token_end}`` with half-open token ranges.

    Raises:
        Reject: A place lies outside its message.
    """
    spans = []
    for place in places:
        index, low, high = place["message_index"], place["char_start"], place["char_end"]
        if index >= len(messages) or not low <= high <= len(messages[index]["content"]):
            raise Reject(
                "injection_outside_message",
                f"the injection span {dict(place)} does not lie in the content of a message",
            )
        for part in (piece for turn in turns if turn.index == index for piece in turn.pieces):
            start, end = _project(part, low, high)
            if start < end:
                spans.append(
                    {
                        "message_index": index,
                        "token_start": tokens.start(start),
                        "token_end": tokens.end(end),
                    }
                )
    return spans


def _project(part: Part, low: int, high: int) -> tuple[int, int]:
    """Where characters ``[low, high)`` of the original string stand in the text, as far as this
    part shows them.
    """
    length = part.end - part.start if part.escape is None else len(part.escape)
    low, high = max(low - part.source, 0), min(high - part.source, length)
    if low >= high:
        return part.start, part.start
    if part.escape is None or part.end - part.start == length:
        return part.start + low, part.start + high
    return part.start + _escaped_length(part.escape[:low]), part.start + _escaped_length(
        part.escape[:high]
    )


def _escaped_length(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False)) - 2
