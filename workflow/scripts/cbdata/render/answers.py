"""The template's own answer to where an assistant's text starts: what it prints when it is asked
for that answer, compared with what it prints where the answer is there.

The template is asked once for each shape of what stands before an answer, not once a trace, so that
the cost does not grow with the conversations.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cbdata.rejects import Reject
from cbdata.render.align import split
from cbdata.render.layout import Ask, lay_out
from cbdata.render.placing import Gap, is_own
from cbdata.render.probes import ANSWER, CALL, OTHER_RESULT, RESULT, TOOL, TWO_CALLS, USER
from cbdata.render.runs import Run, flatten
from cbdata.render.template import ChatTemplate
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.render.turns import Landmarks

SHAPES = 4096  # kept; a data set has a few dozen
Messages = Sequence[Mapping[str, Any]]


class AnswerStarts:
    """What a template says of where answers start, for the conversations of one renderer."""

    def __init__(
        self, template: ChatTemplate, tokenizer: PlainTokenizer, landmarks: Landmarks
    ) -> None:
        self._template, self._pattern = template, tokenizer.pattern
        self._header = _unasked(landmarks)
        self._known: dict[tuple[Any, ...], tuple[int, int] | None] = {}

    def of(
        self, text: str, messages: Messages, tools: Any, hidden: Mapping[str, str] | None
    ) -> Ask:
        """Make the question of ``layout.lay_out`` for one conversation.

        Args:
            text: What the template printed for it.
            messages: The messages as the template was given them.
            tools: The tools likewise.
            hidden: As for ``ChatTemplate.render``.
        """

        def ask(index: int, runs: Sequence[Run], gap: Gap) -> int | None:
            # No template is asked for an answer behind an answer.
            if index == 0 or messages[index - 1]["role"] == "assistant":
                return None
            inside = _runs_in(runs, gap)
            key = bool(tools), *self._shape(text, messages, index, inside, gap)
            if key not in self._known:
                if len(self._known) >= SHAPES:
                    self._known.clear()
                start = self._ask(text, messages[:index], tools, hidden, runs, gap)
                self._known[key] = None if start is None else _place(inside, gap, start)
            place = self._known[key]
            if place is None:
                return None
            run, offset = place
            return (max(inside[run].start, gap.start) if run >= 0 else gap.end) + offset

        return ask

    def _shape(
        self, text: str, messages: Messages, index: int, inside: Sequence[Run], gap: Gap
    ) -> tuple[Any, ...]:
        """What stands before an answer, without what belongs to this conversation alone."""
        shown = [
            text[max(run.start, gap.start) : min(run.end, gap.end)]
            if run.kind == "literal"
            else run.kind
            for run in inside
        ]
        message = messages[index]
        says = bool(message["content"]), bool(message.get("thinking"))
        return (
            messages[index - 1]["role"],
            says,
            bool(message.get("tool_calls")),
            *shown,
        )

    def _ask(
        self,
        text: str,
        messages: Messages,
        tools: Any,
        hidden: Mapping[str, str] | None,
        runs: Sequence[Run],
        gap: Gap,
    ) -> int | None:
        """The character at which the answer starts, or None where the template cannot be asked."""
        render = self._template.render
        try:
            prompt, parts = render(messages, tools, generation_prompt=True, hidden=hidden)
        except Reject:
            return None
        last = _last_own(runs, gap.start)
        asked = _last_own(flatten(parts, len(prompt)), len(prompt))
        if (last is None) != (asked is None):
            return None
        if last and asked and (last.kind, last.message, last.call) != asked_of(asked):
            return None
        start = last.end if last else 0
        printed = text[start : gap.end]
        wanted = prompt[asked.end if asked else 0 :]
        common = _common(printed, wanted)
        plain = None
        if common < len(wanted):
            # The template prints the conversation otherwise where an answer follows: what it adds
            # to ask for one may be the same for all that.
            plain = render(messages, tools, hidden=hidden)[0]
            added = prompt[len(plain) :] if prompt.startswith(plain) else ""
            common = self._behind(printed, added) or self._whole(printed, common)
            asks = self._pattern.search(added)
            if asks and asks.group().strip() in printed[common:]:
                raise Reject(
                    "spans_disagree",
                    f"message {len(messages)}: the template asks for an answer with {added!r}, and"
                    f" prints {printed!r} before one",
                )
        header = self._header.match(printed, common) if self._header else None
        if header and prompt == (plain or render(messages, tools, hidden=hidden)[0]):
            common = header.end()  # it asks for nothing
        return start + common

    def _behind(self, printed: str, added: str) -> int:
        """Behind what asks for an answer, if that is printed there, with other white space or the
        same; 0 where it is not.
        """
        place = printed.rfind(added) if added.strip() else -1
        if place >= 0:
            return place + len(added)
        words = [word for piece in self._pattern.split(added) for word in (piece or "").split()]
        if not words:
            return 0
        found = list(re.finditer(r"\s*".join(map(re.escape, words)), printed))
        if not found:
            return 0
        end, white = found[-1].end(), added[len(added.rstrip()) :]
        return end + len(os.path.commonprefix([printed[end:], white]))  # noqa: RUF071 (no paths)

    def _whole(self, printed: str, common: int) -> int:
        """The last place up to ``common`` at which no word or marker is cut through."""
        for match in self._pattern.finditer(printed):
            if match.start() < common < match.end():
                return match.start()
            if match.end() == common:
                return common
        while 0 < common < len(printed) and not (
            printed[common - 1].isspace()
            or printed[common - 1] in ">]"
            or printed[common].isspace()
        ):
            common -= 1
        return common


def _unasked(landmarks: Landmarks) -> re.Pattern[str] | None:
    """The header of an answer, which a template may print where it adds nothing to ask for one.

    DiffusionGemma does so behind a tool's result. The same text is the template's wherever it is
    asked for, what reads completions expects none of it in them, and the tags for training
    (``{% generation %}``) leave it out: it is not the model's here either. None for a template that
    never asks.
    """
    header = landmarks.generation_prompt.lstrip()
    if not header.strip():
        return None
    ends = "|".join(re.escape(end) for end in sorted(landmarks.turn_ends, reverse=True) if end)
    return re.compile(rf"\s*(?:(?:{ends})\s*)?{re.escape(header)}" if ends else re.escape(header))


def asked_of(run: Run) -> tuple[str, int, int]:
    """Which value a run is of."""
    return run.kind, run.message, run.call


def _common(left: str, right: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = zip(left, right, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))


def _runs_in(runs: Sequence[Run], gap: Gap) -> Sequence[Run]:
    low, high = 0, len(runs)
    while low < high:
        middle = (low + high) // 2
        if runs[middle].end <= gap.start:
            low = middle + 1
        else:
            high = middle
    stop = low
    while stop < len(runs) and runs[stop].start < gap.end:
        stop += 1
    return runs[low:stop]


def _place(inside: Sequence[Run], gap: Gap, start: int) -> tuple[int, int]:
    """A character as one of the runs of a gap and the characters from that run's start; -1 stands
    for the end of the gap.
    """
    for index in range(len(inside) - 1, -1, -1):
        low = max(inside[index].start, gap.start)
        if low <= start < inside[index].end:
            return index, start - low
    return -1, start - gap.end


def _last_own(runs: Sequence[Run], end: int) -> Run | None:
    """The last own text of a message that ends at or before a character."""
    return next(
        (run for run in reversed(runs) if run.end <= end and run.start < run.end and is_own(run)),
        None,
    )


def learn_headers(
    answers: AnswerStarts, template: ChatTemplate, tokenizer: PlainTokenizer, landmarks: Landmarks
) -> frozenset[str]:
    """What the template prints before answers to small conversations, for answers of which it says
    nothing.
    """
    headers = {landmarks.generation_prompt} - {""}
    for messages in (
        [USER, ANSWER, USER, ANSWER],
        [USER, CALL, RESULT, ANSWER],
        [USER, TWO_CALLS, RESULT, OTHER_RESULT, ANSWER],
    ):
        for tools in (None, [TOOL]):
            try:
                text, parts = template.render(messages, tools)
                controls = split(text, tokenizer.pattern.split(text))
                ask = answers.of(text, messages, tools, None)
                turns = lay_out(text, parts, messages, controls, landmarks, 0, ask)
            except Reject:
                continue
            headers |= {
                text[turn.start : turn.own_start]
                for turn in turns
                if turn.role == "assistant" and turn.start < turn.own_start
            }
            break
    return frozenset(headers)
