"""Where each message and tool call stands in a rendered text, worked out from origins and marks
alone.

Character positions, half-open. A position that the template's output does not prove is an error,
never a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cbdata.rejects import Reject
from cbdata.render.thinking import behind_empty_block, is_printed, left_out, thinking_span
from cbdata.render.traced_text import Part, TracedText, shifted


@dataclass(slots=True)
class CallSpan:
    """A tool call in the text: call syntax included, and its name without quotes."""

    index: int
    name: str
    start: int
    end: int
    name_start: int
    name_end: int


@dataclass(slots=True)
class Turn:
    """A message in the text.

    ``[start, end)`` takes in header and end-of-turn token. What the model generates in an assistant
    turn is ``[own_start, content_end)``: reasoning, and from ``content_start`` on everything else.
    ``thinking`` are the stretches of reasoning, markers included; ``pieces`` are those that hold
    the message's own content. ``thinking_left_out`` says that the message has reasoning that the
    template does not print.
    """

    index: int
    role: str
    start: int
    end: int
    content_start: int
    content_end: int
    own_start: int
    calls: list[CallSpan] = field(default_factory=list)
    thinking: list[tuple[int, int]] = field(default_factory=list)
    thinking_left_out: bool = False
    pieces: list[Part] = field(default_factory=list)


@dataclass(slots=True)
class Landmarks:
    """What is known of the chat template beforehand, probed when it is loaded.

    ``generation_prompt``: what it adds for the model to answer; ``turn_ends``: the control tokens
    that end its turns; ``bos``: the text of the token that starts a sequence, or "" where there is
    none; ``reasons``: it may print reasoning, or an empty block for it.
    """

    generation_prompt: str = ""
    turn_ends: frozenset[str] = frozenset()
    bos: str = ""
    reasons: bool = False


def collect(chunks: Iterable[str]) -> tuple[str, list[Part]]:
    """The rendered text and its parts, in the order in which the template printed them."""
    texts: list[str] = []
    parts: list[Part] = []
    position = 0
    for chunk in chunks:
        if type(chunk) is TracedText:
            if chunk:
                parts += shifted(chunk.parts, position)
            else:
                parts += [Part(position, position, part.origin) for part in chunk.parts]
        if chunk:
            texts.append(chunk)
            position += len(chunk)
    return "".join(texts), parts


class _Found:
    """The parts of one message: visits by loops, stretches of content, and the same for its
    calls.
    """

    __slots__ = ("arguments", "call_visits", "calls", "content", "names", "thinking", "visits")

    def __init__(self) -> None:
        self.visits: list[tuple[int, int]] = []
        self.content: list[Part] = []
        self.thinking: list[Part] = []
        self.calls: dict[int, list[tuple[int, int]]] = {}
        self.names: dict[int, list[Part]] = {}
        self.arguments: dict[int, list[Part]] = {}


def _sort(parts: Sequence[Part], count: int) -> list[_Found]:
    found = [_Found() for _ in range(count)]
    open_visits: dict[tuple[int, int], int] = {}
    for part in parts:
        kind, message, call = part.origin
        mine = found[message]
        if kind == "visit_start":
            open_visits[message, call] = part.start
        elif kind == "visit_end":
            start = open_visits.pop((message, call), None)
            if start is not None and part.start > start:
                (mine.visits if call < 0 else mine.calls.setdefault(call, [])).append(
                    (start, part.start)
                )
        elif kind == "content":
            mine.content.append(part)
        elif kind == "thinking":
            mine.thinking.append(part)
        elif kind == "name":
            mine.names.setdefault(call, []).append(part)
        elif kind == "arguments":
            mine.arguments.setdefault(call, []).append(part)
        elif kind == "call":
            mine.calls.setdefault(call, []).append((part.start, part.end))
    return found


def lay_out(
    text: str,
    parts: Sequence[Part],
    messages: Sequence[Any],
    controls: Sequence[tuple[int, int, str]],
    landmarks: Landmarks,
    thinking_from: int = 0,
) -> list[Turn]:
    """Find the turns of a rendered conversation, one for each message, in order and disjoint.

    Args:
        text: The rendered text.
        parts: The stretches of it whose origin is known, in the order in which they were printed.
        messages: The messages of the trace.
        controls: The control tokens that the template printed, as ``(start, end, text)``.
        landmarks: What is known of the template beforehand.
        thinking_from: The template may leave out the reasoning of messages before this one.

    Raises:
        Reject: A message, a call or a name cannot be placed, or the template left out something
            that the message says.
    """
    found = _sort(parts, len(messages))
    regions = _regions(text, found, landmarks)
    turns: list[Turn] = []
    cursor = 0
    for index, message in enumerate(messages):
        start, end, in_loop = regions[index]
        while cursor < len(controls) and controls[cursor][0] < start:
            cursor += 1
        inside, ahead = [], cursor
        while ahead < len(controls) and controls[ahead][1] <= end:
            inside.append(controls[ahead])
            ahead += 1
        turn = _turn(text, index, message, found[index], (start, end, in_loop), inside, landmarks)
        if message.get("thinking"):
            shown = text[turn.start : turn.end]
            own, may_drop = found[index].thinking, index < thinking_from
            turn.thinking_left_out = not is_printed(
                message["thinking"], own, index, shown, may_drop=may_drop
            )
        if turns and turn.start < turns[-1].end:
            raise Reject(
                "turns_overlap",
                f"message {index} starts at character {turn.start}, the one before it ends at"
                f" {turns[-1].end}",
            )
        turns.append(turn)
    return turns


def _regions(
    text: str, found: Sequence[_Found], landmarks: Landmarks
) -> list[tuple[int, int, bool]]:
    """For each message the stretch of text it must lie in: its visit by the loop, else all from the
    message before to the next.
    """
    regions: list[tuple[int, int, bool]] = []
    for index, mine in enumerate(found):
        if len(mine.visits) > 1:
            raise Reject(
                "message_rendered_twice",
                f"the template prints message {index} {len(mine.visits)} times",
            )
        if mine.visits:
            regions.append((*mine.visits[0], True))
        elif mine.content:
            regions.append((mine.content[0].start, mine.content[-1].end, False))
        else:
            raise Reject("message_not_rendered", f"the template prints nothing for message {index}")
    widened: list[tuple[int, int, bool]] = []
    for index, (start, end, in_loop) in enumerate(regions):
        if not in_loop:
            start = (
                widened[-1][1]
                if index and widened[-1][2]
                else (regions[index - 1][1] if index else 0)
            )
            end = regions[index + 1][0] if index + 1 < len(regions) else len(text)
        if start == 0 and landmarks.bos and text.startswith(landmarks.bos):
            start = len(landmarks.bos)
        widened.append((start, end, in_loop))
    return widened


def _turn(
    text: str,
    index: int,
    message: Any,
    mine: _Found,
    region: tuple[int, int, bool],
    controls: list[tuple[int, int, str]],
    landmarks: Landmarks,
) -> Turn:
    start, end, in_loop = region
    role = message["role"]
    _check_content(index, message, mine)
    own = [
        part for part in (*mine.thinking, *mine.content) if start <= part.start and part.end <= end
    ]
    first = min((part.start for part in own), default=None)
    last = max((part.end for part in own), default=start)
    for spans in (mine.names, mine.arguments):
        for items in spans.values():
            last = max(last, items[-1].end)
    for visits in mine.calls.values():
        last = max(last, visits[-1][1])

    # What the template printed before the content may hold a whole turn of its own (a default
    # system message): skip it.
    edge = first if first is not None else start
    ended = [stop for _, stop, token in controls if stop <= edge and token in landmarks.turn_ends]
    if ended and text[ended[-1] : edge].strip():
        start = ended[-1]
        start += len(text[start:edge]) - len(text[start:edge].lstrip())

    stop = _turn_end(text, last, end, in_loop, controls, landmarks)
    own_start = _own_start(text, index, role, start, first, mine, landmarks)
    turn = Turn(index, role, start, stop, own_start, stop, own_start, pieces=mine.content)
    printed = mine.thinking and [part for part in mine.thinking if part.start < part.end]
    if role == "assistant" and printed:
        turn.thinking = [thinking_span(text, printed, own_start)]
        if first == min(part.start for part in printed):
            turn.content_start = min(turn.thinking[0][1], stop)
    elif role == "assistant" and landmarks.reasons:
        edge = stop if first is None else first
        if own_start < edge:
            turn.content_start = min(behind_empty_block(text, own_start, edge), stop)
    turn.calls = _calls(text, index, message, mine, turn, controls)
    return turn


def _turn_end(
    text: str,
    last: int,
    end: int,
    in_loop: bool,
    controls: list[tuple[int, int, str]],
    landmarks: Landmarks,
) -> int:
    """Where a turn ends whose own text ends at ``last``: after its end-of-turn token, white space
    after that left out.
    """
    if in_loop:
        after = [stop for start, stop, _ in controls if start >= last]
        if after and not text[after[-1] : end].strip():
            return after[-1]
        return last + len(text[last:end].rstrip())
    return next(
        (stop for start, stop, token in controls if start >= last and token in landmarks.turn_ends),
        last,
    )


def _own_start(
    text: str,
    index: int,
    role: str,
    start: int,
    first: int | None,
    mine: _Found,
    landmarks: Landmarks,
) -> int:
    if role == "assistant" and landmarks.generation_prompt:
        prompt = landmarks.generation_prompt
        if text.startswith(prompt, start):
            return start + len(prompt)
        if text.endswith(prompt, 0, start):
            return start
    starts = [] if first is None else [first]
    starts += [items[0][0] for items in mine.calls.values()]
    if not starts:
        raise Reject(
            "content_not_placed",
            f"message {index} ({role}): nothing it prints is traced to its content",
        )
    return min(starts)


def _check_content(index: int, message: Any, mine: _Found) -> None:
    """Every character of the content that is not white space at its edges must have been
    printed.
    """
    missing = left_out(message["content"], mine.content)
    if missing:
        raise Reject(
            "content_dropped",
            f"message {index} ({message['role']}): the template leaves out {missing[:60]!r}",
        )


def _calls(
    text: str,
    index: int,
    message: Any,
    mine: _Found,
    turn: Turn,
    controls: list[tuple[int, int, str]],
) -> list[CallSpan]:
    calls = message.get("tool_calls") or ()
    spans: list[CallSpan] = []
    for number, call in enumerate(calls):
        name = call["function"]["name"]
        names = mine.names.get(number)
        if not names:
            raise Reject(
                "call_not_rendered",
                f"message {index}, call {number}: the template does not print the name {name!r}",
            )
        visits = mine.calls.get(number, [])
        if len(visits) == 1:
            start, end = visits[0]
        elif not visits and len(calls) == 1:
            start = max((part.end for part in mine.content), default=turn.content_start)
            start = max(start, turn.content_start)
            ending = [a for a, b, _ in controls if b == turn.content_end]
            end = ending[0] if ending else turn.content_end
        else:
            raise Reject(
                "call_not_placed",
                f"message {index}, call {number} of {len(calls)}: {len(visits)} stretches of text"
                " belong to it",
            )
        stretch = text[start:end]
        start += len(stretch) - len(stretch.lstrip())
        end -= len(stretch) - len(stretch.rstrip())
        part = names[0]
        if len(names) > 1 or not (start <= part.start and part.end <= end):
            raise Reject(
                "call_not_placed",
                f"message {index}, call {number}: its name is printed outside it or more than once",
            )
        if spans and start < spans[-1].end:
            raise Reject(
                "calls_overlap",
                f"message {index}: call {number} starts before call {number - 1} ends",
            )
        if number not in mine.arguments:
            _check_arguments(text[start:end], call["function"]["arguments"], index, number)
        spans.append(CallSpan(number, name, start, end, part.start, part.end))
    return spans


def _check_arguments(stretch: str, arguments: Any, index: int, number: int) -> None:
    """A template that prints arguments piece by piece must print every key and every text among the
    values.
    """
    for key, value in arguments.items():
        for wanted in (key, value if isinstance(value, str) else ""):
            if wanted and wanted not in stretch:
                raise Reject(
                    "arguments_dropped",
                    f"message {index}, call {number}: the template leaves out {wanted[:60]!r}",
                )
