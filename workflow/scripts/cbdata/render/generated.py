"""The last turn of a completed trace as the model wrote it: its own token ids behind the prompt.

The spans come from the judge's character spans (``signal_hints.completion_spans``) and from the
bytes of each token. Whatever does not fit what the ids spell is a reject.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import orjson

from cbdata.records import CompletionSpans, Trace
from cbdata.rejects import Reject
from cbdata.render.align import TokenizedText
from cbdata.render.encoder import Segment, SegmentEncoder
from cbdata.render.turns import CallSpan, Turn
from cbdata.render.written import Run, Speller, Written


class WrittenText(TokenizedText):
    """A tokenised prompt with a completion behind it; positions in the completion are looked up in
    what its tokens spell.
    """

    __slots__ = ("_boundary", "_prompt_length", "_written")

    def __init__(
        self, prompt: TokenizedText, boundary: int, written: Written, encoder: SegmentEncoder
    ) -> None:
        """Put the two together.

        Args:
            prompt: The prompt's tokens.
            boundary: The prompt's length in characters.
            written: The completion.
            encoder: Made the prompt's tokens, and knows the segments of control tokens.
        """
        pieces = list(zip(prompt.char_starts, prompt.segments, strict=True))
        position = boundary
        for run in written.runs:
            segment = encoder.control(run.text) if run.control else _segment(written, run)
            pieces.append((position, segment))
            position += len(run.text)
        super().__init__(pieces, encoder)
        self._boundary, self._prompt_length, self._written = boundary, prompt.length, written

    def _token_at(self, character: int, *, end: bool) -> int:
        inside = character - self._boundary
        if inside < 0:
            return super()._token_at(character, end=end)
        if inside == 0:
            return self._prompt_length
        place = self._written.end(inside) if end else self._written.start(inside)
        return self._prompt_length + place


def _segment(written: Written, run: Run) -> Segment:
    ids = written.ids[run.first : run.last]
    return Segment(run.text, array("I", ids), orjson.dumps(ids)[1:-1])


def spell_completion(trace: Trace, speller: Speller) -> tuple[Written, CompletionSpans]:
    """What the model wrote in a trace's last turn, and the judge's spans in it.

    Raises:
        Reject: The trace does not say it all, or the ids do not spell the stored text.
    """
    hints, generation = trace["signal_hints"], trace["raw_metadata"]["generation"]
    ids = generation.get("completion_token_ids")
    raw, spans = hints.get("raw_assistant_content"), hints.get("completion_spans")
    last = trace["messages"][-1]
    if not ids or raw is None or spans is None or last["role"] != "assistant":
        raise Reject(
            "completion_missing",
            "expected completion_token_ids, raw_assistant_content and completion_spans, and an"
            " assistant message at the end. Hint: completion_tokens: template does without them",
        )
    written = speller.spell(ids)
    if written.text != raw:
        at = next(
            (place for place, (a, b) in enumerate(zip(written.text, raw, strict=False)) if a != b),
            min(len(written.text), len(raw)),
        )
        raise Reject(
            "completion_not_spelled",
            f"character {at}: the ids spell {written.text[at : at + 40]!r}, the stored text has"
            f" {raw[at : at + 40]!r}",
        )
    return written, spans


def completion_turn(
    message: Mapping[str, Any],
    spans: CompletionSpans,
    written: Written,
    index: int,
    start: int,
    boundary: int,
) -> Turn:
    """The turn that a completion makes.

    Args:
        message: What the completion was parsed into.
        spans: The judge's spans in it.
        written: The completion.
        index: Of the message.
        start: The character at which the turn's header starts.
        boundary: The character at which the completion starts.

    Raises:
        Reject: A span is not in order, or is not what the message says.
    """
    text = written.text
    _check_order(spans, len(text))
    said = "\n".join(text[start:end] for start, end in spans["content"])
    if said != message["content"]:
        raise _wrong(f"the content is {message['content'][:60]!r}, its spans hold {said[:60]!r}")
    thinking = [(start, end) for start, end in spans["thinking"]]
    if message.get("thinking") and not thinking:
        raise _wrong("the message has reasoning, the spans have none")
    leading = 0
    for number, (low, high) in enumerate(thinking):
        if text[leading:low].strip():
            break
        thinking[number] = leading, high  # white space before it belongs to it
        leading = high
    end = boundary + len(text)
    turn = Turn(index, "assistant", start, end, boundary + leading, end, boundary)
    turn.thinking = [(boundary + low, boundary + high) for low, high in thinking]
    calls = message.get("tool_calls") or []
    if len(calls) != len(spans["calls"]):
        raise _wrong(f"the message has {len(calls)} calls, the spans have {len(spans['calls'])}")
    for number, (call, span) in enumerate(zip(calls, spans["calls"], strict=True)):
        name = call["function"]["name"]
        shown = text[span["name_start"] : span["name_end"]]
        if shown not in (name, json.dumps(name, ensure_ascii=False)[1:-1]):
            raise _wrong(f"call {number} is {name!r}, its name's span holds {shown[:60]!r}")
        raw = call["function"].get("raw_content")
        if raw is not None and raw not in text[span["start"] : span["end"]]:
            raise _wrong(f"call {number}: its span does not hold {raw[:60]!r}")
        turn.calls.append(
            CallSpan(
                number,
                name,
                *(boundary + span[key] for key in ("start", "end", "name_start", "name_end")),
            )
        )
    return turn


def _check_order(spans: CompletionSpans, length: int) -> None:
    """Spans of a kind stand in order, no two of any kind overlap, and a name stands in its call."""
    every: list[tuple[int, int, str]] = []
    kinds = (
        ("reasoning", spans["thinking"]),
        ("content", spans["content"]),
        ("call", [[each["start"], each["end"]] for each in spans["calls"]]),
    )
    for kind, stretches in kinds:
        own = [(start, end, kind) for start, end in stretches]
        if own != sorted(own):
            raise _wrong(f"the {kind} spans are not in order")
        every += own
    every.sort()
    for low, high, kind in every:
        if not 0 <= low < high <= length:
            raise _wrong(f"{kind} [{low}, {high}) of {length} characters")
    for (_, high, kind), (low, _, other) in pairwise(every):
        if low < high:
            raise _wrong(f"{kind} ends at {high}, {other} starts at {low}")
    for call in spans["calls"]:
        if not call["start"] <= call["name_start"] < call["name_end"] <= call["end"]:
            raise _wrong(f"the name [{call['name_start']}, {call['name_end']}) is not in its call")


def _wrong(what: str) -> Reject:
    return Reject("completion_spans_wrong", what)
