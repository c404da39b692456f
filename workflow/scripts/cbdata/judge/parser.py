"""Which tool calls a completion holds, with every way of writing them that the models in use have.

Read as calls:

- after ``<|python_tag|>``: JSON objects, ``name(arg=literal)``, lists of either; several joined by
  ``;``, ``,`` or white space;
- between ``<tool_call>`` and ``</tool_call>``: the same, each block closed;
- bare JSON objects and lists of them anywhere, also in code fences and amid prose;
- bare ``name(arg=literal)``, or a list of them, where it stands as a statement: at the start of a
  line, after a colon and a
  space, or after another call and ``;`` or ``,``. Elsewhere in a line it is a mention.

An object is a call if it has a ``name`` that is a string and an object (or a string of JSON) under
``arguments`` or ``parameters``, itself or under ``function``. A Python call takes keyword arguments
that are literals.

malformed, not no_call, is whatever began as a call and is none: JSON that begins with a call's keys
and breaks off, a list of calls or a ``<tool_call>`` never closed, a closing tag without its opening
one, markup with no call after it, both ``arguments`` and ``parameters``, a repeated key, arguments
that are no object, brackets or quotes left over beside a call, a think block never closed. One such
fault makes the whole completion malformed, whatever whole calls stand beside it: which of them a
runtime would carry out is a guess. Prose with braces, JSON that is no call, code, and a tool's
definition quoted back are no_call.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from cbdata.judge.calls import CALL_START, Call, CallReader, Item, Markup

Kind = Literal["calls", "no_call", "malformed"]

PYTHON_TAG = "<|python_tag|>"
OPEN_TAG, CLOSE_TAG = "<tool_call>", "</tool_call>"
END_TOKENS = ("<|eom_id|>", "<|eot_id|>", "<|im_end|>", "<|end_of_text|>", "<|endoftext|>", "</s>")

_INTEREST = re.compile(
    r"(?P<tag><\|python_tag\|>)|(?P<open><tool_call>)|(?P<close></tool_call>)|(?P<json>[{\[])"
    r"|(?P<python>(?:^[ \t]*+`?|:[ \t]++`?)(?=[A-Za-z_][\w.]*+\())",
    re.MULTILINE,
)
_JOIN = re.compile(r"\s*+[;,]\s*+")
_SPACE = re.compile(r"\s*+")
_STATEMENT_END = re.compile(r"[ \t]*+(?:\Z|[\n\r;,`]|<)")
_BETWEEN = re.compile(r"[\s;,]*+")
_JOIN_OR_SPACE = re.compile(r"\s*+(?:[;,]\s*+)?")
_LEFT_OVER = re.compile(r"""[\s\[\]{}()"',;:]++""")
_LANGUAGE = re.compile(r"[\w-]*+")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A completion taken apart.

    ``calls`` in the order of the text; in a malformed completion those that were read whole, for
    the record only. ``content`` is the prose: everything but calls, their markup, code fences
    around them, a leading think block and the end-of-turn tokens, stripped. ``thinking`` is the
    think block's text or None. ``detail`` says what is malformed.
    """

    kind: Kind
    calls: tuple[Call, ...]
    content: str
    thinking: str | None = None
    detail: str = ""


def parse_completion(text: str, tool_names: Collection[str] | None = None) -> Parsed:
    """Take a completion apart; never raises, in time linear in its length.

    ``tool_names`` decides one thing: with it, bare ``name(...)`` counts for these names only (code
    that the model wrote as its answer is no call); without it, for any name with keyword arguments.
    Whether a call's tool exists is for ``judgement``.
    """
    text = text[: _end_of_turn(text)]
    thinking, start = None, 0
    opening = _SPACE.match(text).end()
    if text.startswith("<think>", opening):
        close = text.find("</think>", opening)
        if close < 0:
            return Parsed("malformed", (), text.strip(), detail="a think block that is not closed")
        thinking = text[opening + len("<think>") : close].strip() or None
        start = close + len("</think>")
    scan = _Scan(text, CallReader(text, tool_names), start)
    scan.run()
    if not scan.calls and not scan.fault:
        return Parsed("no_call", (), text[start:].strip(), thinking)
    prose = scan.prose()
    fault = scan.fault or next(
        (f"brackets left over: {piece[:40]}" for piece in prose if _LEFT_OVER.fullmatch(piece)), ""
    )
    if fault:
        return Parsed("malformed", tuple(scan.calls), text[start:].strip(), thinking, fault)
    return Parsed("calls", tuple(scan.calls), "\n".join(prose), thinking)


def _end_of_turn(text: str) -> int:
    """The length of a text without the end-of-turn tokens (and white space) at its end."""
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        token = next((token for token in END_TOKENS if text.endswith(token, 0, end)), None)
        if token is None:
            return end
        end -= len(token)


class _Scan:
    """One pass over a text: the calls, the first fault, and the spans that calls and their markup
    take up.
    """

    def __init__(self, text: str, reader: CallReader, start: int) -> None:
        self.text, self.reader, self.start = text, reader, start
        self.calls: list[Call] = []
        self.spans: list[tuple[int, int]] = []
        self.fault = ""

    def run(self) -> None:
        pos = self.start
        while (match := _INTEREST.search(self.text, pos)) is not None:
            kind = match.lastgroup
            if kind == "tag":
                pos = self._after_python_tag(match.start(), match.end())
            elif kind == "open":
                pos = self._tool_call_block(match.start(), match.end())
            elif kind == "close":
                pos = match.end()
                self._add_fault(match.start(), f"{CLOSE_TAG} without {OPEN_TAG}")
            elif kind == "json":
                pos = self._bare(match.start())
            else:
                pos = self._bare(match.end())

    def _add_fault(self, pos: int, detail: str) -> None:
        self.fault = self.fault or f"character {pos}: {detail}"

    def _read(self, pos: int, markup: Markup) -> Item:
        """Read an item and take note of its calls, or of what is wrong with it."""
        item = self.reader.item(pos, markup)
        if item.kind == "broken":
            self._add_fault(pos, item.detail)
            self.calls += item.calls
        return item

    def _keep(self, item: Item, start: int) -> None:
        self.calls += item.calls
        self.spans.append((start, item.end))

    def _skip(self, pos: int) -> int:
        return _SPACE.match(self.text, pos).end()

    def _joined(self, pos: int) -> tuple[int, bool]:
        """Where the next item begins after one that ends at ``pos``, and whether ``;`` or ``,``
        stands between.
        """
        join = _JOIN.match(self.text, pos)
        return (join.end(), True) if join else (self._skip(pos), False)

    def _bare(self, pos: int) -> int:
        """Read a bare item, and Python calls joined to it; return where to go on."""
        while True:
            item = self._read(pos, "bare")
            if item.kind != "call":
                return max(item.end, pos + 1)
            if item.calls[-1].form == "python" and not _STATEMENT_END.match(self.text, item.end):
                return item.end
            self._keep(item, pos)
            following, joined = self._joined(item.end)
            if not joined or not CALL_START.match(self.text, following):
                return item.end
            pos = following

    def _after_python_tag(self, start: int, end: int) -> int:
        """Read the calls after a tag at ``[start, end)``; return where to go on."""
        pos = self._skip(end)
        while True:
            item = self._read(pos, "python_tag")
            if item.kind != "call":
                return max(item.end, end)
            self._keep(item, start)
            pos, joined = self._joined(item.end)
            if not self.text.startswith(("{", "["), pos) and not (
                joined and CALL_START.match(self.text, pos)
            ):
                return item.end
            start = pos

    def _tool_call_block(self, start: int, end: int) -> int:
        """Read a block whose opening tag stands at ``[start, end)``; return where to go on."""
        pos = self._skip(end)
        first = len(self.calls)
        while True:
            item = self._read(pos, "tool_call")
            if item.kind != "call":
                return max(item.end, end)
            self.calls += item.calls
            close = self._skip(item.end)
            if self.text.startswith(CLOSE_TAG, close):
                self.spans.append((start, close + len(CLOSE_TAG)))
                return close + len(CLOSE_TAG)
            pos, joined = self._joined(item.end)
            if not self.text.startswith("{", pos) and not joined:
                self._add_fault(
                    start, f"{OPEN_TAG} that is not closed after {len(self.calls) - first} calls"
                )
                return item.end

    def prose(self) -> list[str]:
        """The pieces of text outside the calls, stripped, without empty ones; code fences that hold
        nothing but calls taken off.
        """
        groups: list[tuple[int, int]] = []
        for start, end in self.spans:
            if groups and _BETWEEN.fullmatch(self.text, groups[-1][1], start):
                groups[-1] = (groups[-1][0], end)
            else:
                groups.append((start, end))
        pieces: list[str] = []
        pos = self.start
        for start, end in groups:
            before = self.text[pos:start].rstrip()
            before, fence = _without_open_fence(before)
            pieces.append(before.strip())
            pos = _JOIN_OR_SPACE.match(self.text, end).end()
            if fence and self.text.startswith(fence, pos):
                pos += len(fence)
        pieces.append(self.text[pos:].strip())
        return [piece for piece in pieces if piece]


def _without_open_fence(before: str) -> tuple[str, str]:
    """Text without the fence (and its language) or back-quote that opens at its end, and that fence
    or \"\".
    """
    cut = before.rfind("```")
    if cut >= 0 and before.count("```") % 2 == 1 and _LANGUAGE.fullmatch(before, cut + 3):
        return before[:cut], "```"
    if before.endswith("`") and not before.endswith("``"):
        return before[:-1], "`"
    return before, ""
