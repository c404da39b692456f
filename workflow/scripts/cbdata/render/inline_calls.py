"""Calls that a model wrote into its content in its own markup: they are its words, so their markup
stays control tokens, and they have spans like other calls.

Only a turn of the assistant is read, only in the call format that the chat template itself prints,
and only where calls are all that stands behind the text. The template is then given the same calls
as calls: what it prints must have the same control tokens in the same order. Markup of that format
that is not read so is a reject, never letters; only where nothing like a call stands behind a
marker is it a word like others. Control tokens with which a template prints calls that are in no
format are a reject likewise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from cbdata.call_formats.base import CallFormat, Reading, any_of
from cbdata.call_formats.completion import Completion
from cbdata.call_formats.reasoning import NOTATIONS
from cbdata.call_formats.registry import CALL_MARKERS
from cbdata.rejects import Reject
from cbdata.render.probes import ANSWER, CALL, SYSTEM, TOOL, USER
from cbdata.render.quoted_calls import LIKE_A_CALL, QuotedCalls
from cbdata.render.template import ChatTemplate
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.render.turns import Landmarks
from cbdata.render.written_calls import WRITTEN, WrittenCalls, as_calls
from cbdata.tools import ToolSchema

Message = Mapping[str, Any]
Messages = Sequence[Message]
Tools = Sequence[Mapping[str, Any]]

REASONING = frozenset(
    marker for each in NOTATIONS for marker in (each.opening, each.closing, each.label.strip())
)
"""Some templates print an empty block for reasoning on turns of calls alone."""

_ANY_MARKER = re.compile(any_of(sorted(CALL_MARKERS)))


class _AllTexts(dict[str, Any]):
    """The properties of a tool whose arguments are all texts, whatever they are called."""

    def get(self, key: str, default: Any = None) -> Any:
        return {"type": "string"}


class _TextTools(ToolSchema):
    """Tools that take texts: where an argument stands does not depend on its type."""

    def parameters(self, name: str) -> dict[str, Any]:
        return {"type": "object", "properties": _AllTexts()}


TEXT_TOOLS = _TextTools("", (), None, "", "")


class InlineCalls:
    """Reads and checks such calls for one renderer."""

    def __init__(
        self,
        template: ChatTemplate,
        tokenizer: PlainTokenizer,
        landmarks: Landmarks,
        settled: Callable[[], CallFormat | None],
    ) -> None:
        """Nothing is tried before a content has markup of any format.

        Args:
            template: The renderer's template.
            tokenizer: Its tokenizer.
            landmarks: What is known of the template beforehand.
            settled: Finds the call format that the template prints; None where there is not one
                alone.
        """
        self._template, self._tokenizer, self._settled = template, tokenizer, settled
        self._close, self._ends = landmarks.call_close, landmarks.turn_ends
        self._format: CallFormat | None = None
        self._marker: re.Pattern[str] | None = None
        self._asked = False
        self._own: re.Pattern[str] | None = None

    def read(self, messages: Messages) -> dict[int, WrittenCalls]:
        """The calls in the contents of a conversation, by message.

        Raises:
            Reject: ``inline_call_unread``: a content has control tokens of the format's markup,
                and they are not calls beyond doubt.
        """
        found: dict[int, WrittenCalls] = {}
        theirs: QuotedCalls | None = None
        looked = 0  # at so many messages for what others wrote
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            if not self._has_markup(message["content"]):
                self._check_own(message, index)
                continue
            theirs = theirs or QuotedCalls(
                cast("CallFormat", self._format), self._tokenizer, TEXT_TOOLS
            )
            for other in messages[looked:index]:
                if other["role"] != "assistant":
                    theirs.add(other["content"])
            looked = index
            written = self._read(message, index, theirs)
            if written is not None:
                found[index] = written
        return found

    def _has_markup(self, content: str) -> bool:
        if self._asked:
            return self._marker is not None and self._marker.search(content) is not None
        if _ANY_MARKER.search(content) is None:
            return False
        self._asked = True
        self._format = self._settled()
        if self._format is not None and self._format.markers:
            self._marker = re.compile(any_of(sorted(self._format.markers)))
        return self._has_markup(content)

    def _check_own(self, message: Message, index: int) -> None:
        """Reject a content that is not read as calls, with control tokens in which the template's
        own calls are.
        """
        content = message["content"]
        if not content or message.get("tool_calls"):
            return
        if self._own is None:
            self._own = re.compile(any_of(sorted(self._call_tokens())) or r"(?!)")
        found = self._own.search(content)
        if found and LIKE_A_CALL.search(content, found.end()):
            raise _unread(index, f"what the template prints with {found.group()} is not read back")

    def _call_tokens(self) -> set[str]:
        """The control tokens that the template prints for a call and not for an answer."""
        for tools in (None, [TOOL]):
            for before in ([USER], [SYSTEM, USER]):
                try:
                    answer, call = (
                        set(self._tokenizer.pattern.findall(self._template.render(each, tools)[0]))
                        for each in ([*before, ANSWER], [*before, CALL])
                    )
                except Reject:
                    continue
                return {token.strip() for token in call - answer} - self._ends - REASONING
        return set()

    def _between_markers(self, text: str) -> list[str]:
        """What stands between the format's markers in a text, its beginning first."""
        return [*map(str.strip, cast("re.Pattern[str]", self._marker).split(text))]

    def _read(self, message: Message, index: int, theirs: QuotedCalls) -> WrittenCalls | None:
        """The calls in one content; None where its markup is letters that are no calls, or where
        its calls stand beside it, so that whoever read them took the rest for text.

        ``theirs`` are the calls of earlier messages of others: the same as a call may be their
        words and not the model's.
        """
        content, reader = message["content"], cast("CallFormat", self._format)
        view, end = Completion.spelled(content, self._tokenizer).view(reader)
        reading = reader.read(view, TEXT_TOOLS)
        wrong = "it goes on behind an end of turn" if end else _unclean(reading)
        if wrong is None and any(theirs.has(each, view) for each in reading.calls):
            wrong = "another message has the same call, so it may only be repeated"
        kept = [match.span() for match in self._markup(content)]
        if wrong is None and kept and kept[0][0] < reading.calls[0].start:
            wrong = "a marker stands in the text before them"
        if message.get("tool_calls"):
            if wrong is None:
                raise _unread(index, "the message has calls beside it")
            return None
        if wrong is not None:
            if kept and any(map(LIKE_A_CALL.search, self._between_markers(content)[1:])):
                raise _unread(index, wrong)
            return None
        calls = tuple(
            {
                "call_id": f"inline{number:03}",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(reading.calls)
        )
        return WrittenCalls(reading.calls[0].start, calls, reading.calls, tuple(kept), self._close)

    def _markup(self, content: str) -> list[re.Match[str]]:
        """The control tokens in a content that are markup of the format's calls."""
        markers = cast("CallFormat", self._format).markers
        found = self._tokenizer.pattern.finditer(content)
        return [match for match in found if match.group().strip() in markers]

    def check(
        self,
        text: str,
        messages: Messages,
        tools: Tools | None,
        hidden: Mapping[str, str] | None,
        *,
        generation_prompt: bool,
    ) -> None:
        """Compare a rendered text with what the template prints where the calls are calls.

        Args:
            text: What the template printed for the messages.
            messages: The messages as the template was given them.
            tools: The tools likewise.
            hidden: As for ``ChatTemplate.render``.
            generation_prompt: As there.

        Raises:
            Reject: ``inline_call_unread``: the control tokens differ.
        """
        inline = [index for index, each in enumerate(messages) if WRITTEN in each]
        if not any(messages[index][WRITTEN].kept for index in inline):
            return
        given = [as_calls(message) for message in messages]
        try:
            wanted, _ = self._template.render(
                given, tools, generation_prompt=generation_prompt, hidden=hidden
            )
        except Reject as error:
            raise _unread(inline[0], f"the template refuses the calls: {error.detail}") from error
        controls = self._tokenizer.pattern.findall
        if [*map(str.strip, controls(text))] != [*map(str.strip, controls(wanted))]:
            raise _unread(inline[0], "the template prints such calls with other control tokens")


def _unclean(reading: Reading) -> str | None:
    """Why a content is not text with calls behind it, or None if it is."""
    if reading.fault:
        return reading.fault.reason
    if not reading.calls or not reading.marked:
        return "no call is read"
    if any(span.end > reading.calls[0].start for span in reading.prose):
        return "text stands between or behind the calls"
    return None


def _unread(index: int, why: str) -> Reject:
    return Reject(
        "inline_call_unread",
        f"message {index}: its content has the markup of calls, and {why}. Hint: give the calls as"
        " tool_calls",
    )
