"""Control-token text inside messages: found, and carried through the template as something else of
the same length.

Every character of such text is moved into a private-use plane before the template sees it and moved
back before tokenising. Same length, so no position shifts; private use, so no template reads
structure into it; and what the template itself prints stays the only source of control tokens. Two
things are left as they are: the markers around reasoning with which an assistant's own text begins,
and those of calls that stand in it (``inline_calls``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cbdata.rejects import Reject
from cbdata.render.thinking import inline_reasoning
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.render.written_calls import WRITTEN, WrittenCalls
from cbdata.tools import ToolList

PLANES = (0xF0000, 0x100000)  # supplementary private use areas A and B
PLANE_SIZE = 0xFF00  # leaves out the plane's last characters, which traced_json uses


class Escaper:
    """Moves control-token text in the strings of one conversation out of the way, and back in
    rendered text.
    """

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        self._pattern = tokenizer.pattern
        self._tokens = tokenizer.control
        # Each character of a control token, and of the white space that one may swallow, stands at
        # its own place in the plane.
        letters = sorted(set().union(*tokenizer.control) | set(" \t\n\r\f\v"))
        self._place = {letter: place for place, letter in enumerate(letters)}
        self._letters = letters
        self._plane = PLANES[0]
        self.counts: Counter[tuple[int, str]] = Counter()
        """(message index, control token) -> how often; index -1 stands for the tool schemas."""

    def prepare(self, *values: Any) -> None:
        """Choose a plane that none of the strings in ``values`` uses. Raises Reject where both
        are used.
        """
        strings = [text for value in values for text in strings_of(value)]
        self.counts.clear()
        for plane in PLANES:
            if not any(
                plane <= ord(character) < plane + PLANE_SIZE
                for text in strings
                if not text.isascii()
                for character in set(text)
            ):
                self._plane = plane
                return
        raise Reject(
            "private_use_conflict",
            "control-token text beside characters of both supplementary private use planes",
        )

    def hide(self, value: Any, message: int) -> Any:
        """A copy of a string or of nested lists and mappings in which no control token can be
        read.
        """
        if isinstance(value, str):
            return self._pattern.sub(lambda match: self._hidden(match.group(), message), value)
        if isinstance(value, list):
            return [self.hide(item, message) for item in value]
        if isinstance(value, dict):
            return {
                self.hide(key, message): self.hide(item, message) for key, item in value.items()
            }
        return value

    def hide_message(
        self, message: Mapping[str, Any], index: int, kept: Sequence[tuple[int, int]] = ()
    ) -> dict[str, Any]:
        """A copy of a message in which no control token can be read but the markers around
        reasoning with which an assistant's content begins, and the stretches ``kept``.

        Args:
            message: The message.
            index: Its index.
            kept: Stretches ``[start, end)`` of its content, in order, each a control token.
        """
        hidden = {
            key: value if key in ("role", "content") else self.hide(value, index)
            for key, value in message.items()
        }
        content = message["content"]
        found = inline_reasoning(content) if message["role"] == "assistant" else None
        stretches = [*kept] if found is None else [(0, found[1]), (found[2], found[3]), *kept]
        pieces, reached = [], 0
        for start, end in stretches:
            pieces += [self.hide(content[reached:start], index), content[start:end]]
            reached = end
        hidden["content"] = "".join([*pieces, self.hide(content[reached:], index)])
        return hidden

    def hide_all(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        written: Mapping[int, WrittenCalls],
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
        """Copies of messages and tools as a template is given them.

        Args:
            messages: The messages of a trace.
            tools: The tools to show, or None.
            written: The calls that stand in contents, by message.

        Raises:
            Reject: A control token cannot be hidden.
        """
        self.prepare(list(messages), list(tools or ()))
        calls = {
            index: replace(found, calls=tuple(self.hide(list(found.calls), index)))
            for index, found in written.items()
        }
        self.counts.clear()  # the contents have the same once more
        clean = []
        for index, message in enumerate(messages):
            inline = calls.get(index)
            clean.append(self.hide_message(message, index, inline.kept if inline else ()))
            if inline:
                clean[-1][WRITTEN] = inline
        return clean, self.hide(list(tools), -1) if tools else None

    def reveal(self, text: str) -> str:
        """The text as it was written."""
        if text.isascii():
            return text
        low, high = self._plane, self._plane + len(self._letters)
        table = {
            ord(character): self._letters[ord(character) - low]
            for character in set(text)
            if low <= ord(character) < high
        }
        return text.translate(table) if table else text

    def hidden(self) -> dict[str, str]:
        """What each hidden character stands for."""
        return {chr(self._plane + place): letter for place, letter in enumerate(self._letters)}

    def _hidden(self, token: str, message: int) -> str:
        self.counts[message, token if token in self._tokens else token.strip()] += 1
        places = [self._place.get(character) for character in token]
        if None in places:  # white space of another kind, which the token swallows
            raise Reject(
                "control_token_unescapable",
                f"the control token {token!r} in a message has rare white space around it",
            )
        return "".join([chr(self._plane + place) for place in places if place is not None])


def strings_of(value: Any) -> list[str]:
    """Every string in nested lists and mappings, keys included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in strings_of(item)]
    if isinstance(value, dict):
        return [
            text for key, item in value.items() for text in (*strings_of(key), *strings_of(item))
        ]
    return []


def said(message: Mapping[str, Any]) -> Iterator[str]:
    """The strings of a message that a template may print."""
    yield message["content"]
    for key in ("thinking", "name", "tool_call_id"):
        if key in message:
            yield message[key]
    for call in message.get("tool_calls") or ():
        yield call["call_id"]
        yield call["function"]["name"]
        yield from strings_of(call["function"]["arguments"])


def first_with(
    pattern: Any, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None
) -> str | None:
    """The first string of a conversation in which the pattern is found."""
    texts = [text for message in messages for text in said(message)]
    # All at once, since most have no such text; what stands across two of them is in neither.
    if pattern.search("\n".join(texts)):
        for text in texts:
            if pattern.search(text):
                return text
    return _first_in_tools(pattern, tools) if tools else None


def _first_in_tools(pattern: Any, tools: Sequence[Any]) -> str | None:
    memo = tools.memo if isinstance(tools, ToolList) else {}
    key = "first_with", id(pattern)
    if key not in memo:
        first = next((text for text in strings_of(list(tools)) if pattern.search(text)), None)
        memo[key] = pattern, first  # held, so that its id stays its own
    found: str | None = memo[key][1]
    return found
