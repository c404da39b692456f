"""Where each message and tool call stands in a rendered text, worked out from origins and marks,
and from what the template itself says of where a model's answer begins.

Character positions, half-open. A position that the template's output does not prove is an error,
never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cbdata.rejects import Reject
from cbdata.render.apart import end_before_header, split_apart
from cbdata.render.calls import place_calls
from cbdata.render.placing import (
    Block,
    Control,
    Found,
    Gap,
    blocks_of,
    gather,
    share,
)
from cbdata.render.runs import Run, flatten
from cbdata.render.thinking import (
    CLOSINGS,
    behind_empty_block,
    inline_reasoning,
    is_printed,
    left_out,
    thinking_span,
)
from cbdata.render.traced_text import Part
from cbdata.render.turns import Landmarks, Turn

Ask = Callable[[int, Sequence[Run], Gap], int | None]
"""What the template says of where the answer that is message ``index`` starts, given the runs of
the text and the gap before the message's own text; None where it says nothing.
"""


def lay_out(
    text: str,
    parts: Sequence[Part],
    messages: Sequence[Mapping[str, Any]],
    controls: Sequence[Control],
    landmarks: Landmarks,
    thinking_from: int = 0,
    ask: Ask | None = None,
) -> list[Turn]:
    """Find the turns of a rendered conversation, one for each message, disjoint, in the order of
    the text.

    Args:
        text: The rendered text.
        parts: The stretches of it whose origin is known, in the order in which they were printed.
        messages: The messages of the trace.
        controls: The control tokens that the template printed, as ``(start, end, text)``.
        landmarks: What is known of the template beforehand.
        thinking_from: The template may leave out the reasoning of messages before this one.
        ask: The second proof of where answers start.

    Raises:
        Reject: A message, a call or a name cannot be placed, the template left out something that
            the message says, or the two proofs disagree.
    """
    runs = flatten(parts, len(text))
    found = gather(runs, len(messages))
    for message, mine in zip(messages, found, strict=True):
        if message["role"] == "assistant" and (
            message.get("tool_calls") or mine.thinking or mine.inline
        ):
            split_apart(text, mine, landmarks)
    blocks = blocks_of(found, messages, controls)
    return _Layout(text, runs, messages, controls, landmarks, thinking_from, ask).turns(blocks)


class _Layout:
    """One text on its way through ``lay_out``."""

    def __init__(
        self,
        text: str,
        runs: Sequence[Run],
        messages: Sequence[Mapping[str, Any]],
        controls: Sequence[Control],
        landmarks: Landmarks,
        thinking_from: int,
        ask: Ask | None,
    ) -> None:
        self.text, self.runs, self.messages, self.controls = text, runs, messages, controls
        self.landmarks, self.thinking_from, self.ask = landmarks, thinking_from, ask
        self.control = 0  # the first control token that does not end before the gap at hand

    def turns(self, blocks: Sequence[Block]) -> list[Turn]:
        """The turns, in the order of the text."""
        text, length = self.text, len(self.text)
        bos = self.landmarks.bos
        behind = len(bos) if bos and text.startswith(bos) else 0
        gap, cursor = share(self.runs, 0, None, blocks[0] if blocks else None, length)
        gap.start = gap.closed = min(behind, gap.end)
        gap.opened = max(gap.opened, gap.start) if gap.marked else gap.start
        turns: list[Turn] = []
        for place, block in enumerate(blocks):
            after = blocks[place + 1] if place + 1 < len(blocks) else None
            if block.is_rest and turns[-1].index == block.index:
                gap.opened = turns[-1].end
            turn = self._open(block, gap, turns[-1].end if turns else gap.start)
            following, cursor = share(self.runs, cursor, block, after, length)
            if after and after.index == block.index and after.found.begins is not None:
                following.closed = min(following.closed, after.found.begins)
            self._close(turn, block.found, following, after)
            self._fill(turn, block)
            turns.append(turn)
            gap = following
        return turns

    def _open(self, block: Block, gap: Gap, behind: int) -> Turn:
        """A turn with its header, behind character ``behind``."""
        text, index = self.text, block.index
        message = self.messages[index]
        role, first = message["role"], block.first
        if not block.is_rest:
            _check_content(index, message, block.found)
        start = min(max(gap.opened, behind), first)
        asked = None
        if role == "assistant" and self.ask and not block.is_rest:
            asked = self.ask(index, self.runs, gap)
            if asked is not None and behind <= asked < start and not text[asked:start].strip():
                start = asked  # white space that is printed for the message before
        # What stands before the content may hold a whole turn of its own (a default system
        # message): it is nobody's.
        edge = first if asked is None else max(min(asked, first), start)
        ended = [
            high
            for _, high, token in self._controls(start, edge)
            if token in self.landmarks.turn_ends
        ]
        if ended and text[ended[-1] : edge].strip():
            start = ended[-1]
        if ended or not gap.marked:
            start += len(text[start:edge]) - len(text[start:edge].lstrip())
        own_start = first
        if role == "assistant":
            own_start = self._own_start(block, start, asked)
            if self.ask and asked is None and not block.is_rest:
                self._check_header(index, behind, start)
        return Turn(index, role, start, first, own_start, first, own_start)

    def _check_header(self, index: int, behind: int, start: int) -> None:
        """Reject an answer, for which the template does not ask, behind a header that is no part of
        it: the opening of its calls may stand behind that header.
        """
        text, known = self.text, self.landmarks
        at = text.rfind(known.head, behind, start) if known.head else -1
        if at >= 0 and not any(end in text[at:start] for end in known.stops | known.turn_ends):
            raise Reject(
                "spans_disagree",
                f"message {index}: the template does not ask for it, and prints"
                f" {text[at:start][:60]!r} before it",
            )

    def _own_start(self, block: Block, start: int, asked: int | None) -> int:
        """Where an assistant's own text starts, as marks and generation prompt say and as the
        template says.
        """
        text, first, prompt = self.text, block.first, self.landmarks.generation_prompt
        proven = None
        if prompt:
            if text.startswith(prompt, start, first):
                proven = start + len(prompt)
            elif text.endswith(prompt, 0, start):
                proven = start
        if asked is None:
            if proven is not None:
                return proven
            headers = [h for h in self.landmarks.headers if text.startswith(h, start, first)]
            if headers:
                return start + max(map(len, headers))
            if block.found.begins is not None:
                raise Reject(
                    "spans_disagree",
                    f"message {block.index}: behind an end of turn the template prints"
                    f" {text[start:first][:60]!r}, with which it does not ask for an answer: who"
                    " writes it cannot be told",
                )
            scopes = [low for low, _ in block.found.scopes.get(0, ()) if start <= low < first]
            return min([first, *scopes]) if not _says(block.found) else first
        if not start <= asked <= first or proven not in (None, asked):
            header = proven is not None and text[asked:proven].strip() == prompt.strip()
            raise Reject(
                "spans_disagree",
                f"message {block.index}: its own text starts at {text[asked : asked + 40]!r} as the"
                f" template says where it asks for an answer, and at"
                f" {text[proven or start : (proven or start) + 40]!r} as it is printed"
                + (
                    ". The template prints a header here for which it does not ask: who writes it"
                    " cannot be told"
                    if header
                    else ""
                ),
            )
        return asked

    def _close(self, turn: Turn, mine: Found, gap: Gap, after: Block | None) -> None:
        """The end of a turn whose own text ends where the gap before block ``after`` starts."""
        text, last = self.text, gap.start
        ending: Control | None = None
        behind = end_before_header(text, last, gap.closed, self.landmarks)
        if behind is not None:  # R1's distils print an empty answer behind a turn of calls
            gap.closed = behind
        there = self._controls(last, gap.closed)
        if mine.looped or any(each[2] in self.landmarks.turn_ends for each in there):
            turn.content_end = turn.end = last + len(text[last : gap.closed].rstrip())
            if there and not text[there[-1][1] : gap.closed].strip():
                ending = there[-1]
        else:
            turn.content_end = turn.end = last + len(text[last : gap.closed].rstrip())
            own = self._controls(last, gap.opened if gap.marked else gap.end)
            ending = next((each for each in own if each[2] in self.landmarks.turn_ends), None)
        if turn.role == "assistant" and (
            ending is None or self._is_markup(turn, ending) or self._closes_calls(mine, gap)
        ):
            if ending is not None:
                turn.content_end = turn.end = ending[1]
            goes_on = after is not None and self.messages[after.index]["role"] == "assistant"
            ending = self._stops_behind(gap, goes_on=goes_on)
        spelled = self._spelled_end(turn, mine, gap) if turn.role == "assistant" else None
        if spelled is not None and (
            ending is None or ending[1] < spelled or text[spelled : ending[0]].strip()
        ):
            turn.content_end = turn.end = spelled
        elif ending is not None:
            turn.stop = ending[0], ending[1]
            turn.content_end = turn.end = ending[1]

    def _spelled_end(self, turn: Turn, mine: Found, gap: Gap) -> int | None:
        """Behind the letters with which the template ends answers, if they stand behind what is
        known to be the turn's. ``>>`` ends ``</call>>>`` and not ``</call>>``.
        """
        text, end = self.text, self.landmarks.spelled_end
        limit = gap.closed if mine.looped else gap.opened if gap.marked else gap.end
        at = text.find(end, turn.content_end, limit) if end else -1
        while (later := text.find(end, at + 1, min(at + 2 * len(end) - 1, limit))) > at >= 0:
            at = later
        return at + len(end) if at >= 0 else None

    def _stops_behind(self, gap: Gap, *, goes_on: bool = False) -> Control | None:
        """The control token with which the next message begins, where the template prints none at
        the end of an answer: the one that the model stops with.

        Args:
            gap: What stands behind the answer.
            goes_on: Whether the next message is an answer too: the token ends this one only where
                a header stands behind it.
        """
        ahead = self._controls(gap.closed, gap.end)
        if not ahead or self.landmarks.spelled_end or self.text[gap.closed : ahead[0][0]].strip():
            return None
        prompt = self.landmarks.generation_prompt
        # What asks for an answer ends none, but for the end of the turn before.
        if ahead[0][2] in prompt and ahead[0][2] not in self.landmarks.stops:
            return None
        if goes_on and not (ahead[1:] and self.landmarks.head.startswith(ahead[1][2])):
            return None
        return ahead[0]

    def _is_markup(self, turn: Turn, ending: Control) -> bool:
        """Whether a control token that an answer ends with belongs to its reasoning or call."""
        start, _, token = ending
        if token in self.landmarks.answer_ends or token in self.landmarks.stops:
            return False
        if token in CLOSINGS:
            return True
        return any(
            run.start <= start < run.end and run.call >= 0 and run.message == turn.index
            for run in self._runs_at(start)
        )

    def _closes_calls(self, mine: Found, gap: Gap) -> bool:
        """Whether the last control token of an answer's own only closes its calls, because the
        template ends answers with what it prints for the next message.
        """
        ends_behind = not self.landmarks.answer_ends and bool(mine.names)
        return ends_behind and self._stops_behind(gap) is not None

    def _runs_at(self, character: int) -> Sequence[Run]:
        low, high = 0, len(self.runs)
        while low < high:
            middle = (low + high) // 2
            if self.runs[middle].end <= character:
                low = middle + 1
            else:
                high = middle
        return self.runs[low : low + 1]

    def _fill(self, turn: Turn, block: Block) -> None:
        """Reasoning, content and calls of a turn."""
        text, message, mine = self.text, self.messages[turn.index], block.found
        turn.pieces = mine.content
        if turn.role != "assistant" and not (message.get("thinking") or message.get("tool_calls")):
            return
        printed = [part for part in (*mine.thinking, *mine.inline) if part.start < part.end]
        if turn.role == "assistant" and printed:
            said = [part for part in mine.content if part.start < part.end]
            first = min(part.start for part in (*printed, *said))
            begins = first == min(part.start for part in printed)
            last = max(part.end for part in printed)
            after = (part.start for part in said if part.start >= last)
            until = min(after, default=turn.content_end)
            turn.thinking = [thinking_span(text, printed, turn.own_start, until, begins=begins)]
            if begins:
                turn.content_start = min(turn.thinking[0][1], turn.content_end)
        elif turn.role == "assistant" and self.landmarks.reasons:
            said = mine.content or [part for some in mine.names.values() for part in some]
            edge = min((part.start for part in said), default=self._before_stop(turn))
            if turn.own_start < edge:
                behind = behind_empty_block(text, turn.own_start, edge)
                turn.content_start = min(behind, turn.content_end)
        if not block.is_rest:
            shown, may_drop = text[turn.start : turn.end], turn.index < self.thinking_from
            for reasoning, parts in _reasoning(message, mine):
                if not is_printed(reasoning, parts, turn.index, shown, may_drop=may_drop):
                    turn.thinking_left_out = True
        turn.calls = place_calls(text, message, block, turn, self.landmarks)

    def _before_stop(self, turn: Turn) -> int:
        """Where the end of a turn starts: what ends reasoning in some templates ends turns too."""
        if turn.stop:
            return turn.stop[0]
        spelled = self.landmarks.spelled_end
        ends = spelled and self.text.endswith(spelled, turn.own_start, turn.content_end)
        return turn.content_end - len(spelled) if ends else turn.content_end

    def _controls(self, start: int, end: int) -> list[Control]:
        """The control tokens in a stretch; stretches come in the order of the text."""
        controls, place, count = self.controls, self.control, len(self.controls)
        while place < count and controls[place][1] <= start:
            place += 1
        self.control = place
        inside = []
        place = max(place - 1, 0)
        while place < count and controls[place][1] <= end:
            if controls[place][0] >= start:
                inside.append(controls[place])
            place += 1
        return inside


def _says(mine: Found) -> bool:
    """Whether a message has text or reasoning beside its calls."""
    said = (*mine.content, *mine.thinking, *mine.inline)
    return any(part.start < part.end for part in said)


def _reasoning(message: Mapping[str, Any], mine: Found) -> Iterator[tuple[str, list[Part]]]:
    """The reasoning of a message, beside its content and at its beginning, with the parts of
    each.
    """
    turns = list(mine.turns())
    if message.get("thinking"):
        yield message["thinking"], [part for each in turns for part in each.thinking]
    found = inline_reasoning(message["content"]) if message["role"] == "assistant" else None
    if found:
        _, opened, closed, _ = found
        inline = [part for each in turns for part in each.inline]
        yield message["content"][opened:closed], _from(inline, opened)


def _from(parts: Sequence[Part], start: int) -> list[Part]:
    """Parts of a string as parts of what it has from ``start`` on."""
    return [part._replace(source=part.source - start) for part in parts]


def _check_content(index: int, message: Mapping[str, Any], mine: Found) -> None:
    """Every character of the content that is not white space at its edges must have been
    printed, the reasoning aside with which it begins.
    """
    content, said = message["content"], mine.whole_content
    if not left_out(content, said):
        return
    found = inline_reasoning(content) if message["role"] == "assistant" else None
    if found:
        content, said = content[found[-1] :], _from(said, found[-1])
    missing = left_out(content, said)
    if missing:
        raise Reject(
            "content_dropped",
            f"message {index} ({message['role']}): the template leaves out {missing[:60]!r}",
        )
