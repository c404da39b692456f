"""Strings that know where their characters came from.

A chat template turns messages into one text. To know exactly where each message, tool call and tool
name ended up, without looking for it in the text, the values handed to the template are of the type
``TracedText``: ordinary ``str`` values to everything that the template does with them (comparisons,
tests, lengths, dictionary keys), which carry their origin through concatenation, stripping, slicing
and splitting. An operation that is not known here gives a plain ``str``: the origin is lost, and
whoever needs it rejects the trace. So a TracedText can fail to prove a position, but it cannot name
a wrong one, and it cannot change the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, SupportsIndex

QUOTES = ("'", '"', "\\")

HIDDEN: ContextVar[Mapping[str, str]] = ContextVar("HIDDEN", default={})  # noqa: B039 (never changed)
"""What each hidden character stands for (``cbdata.render.escape``) in the conversation at hand."""


class Origin(NamedTuple):
    """What a piece of text is.

    ``kind``: ``content`` and ``thinking`` of a message, ``inline`` (reasoning that stands in the
    content), ``name``, ``arguments`` and ``id`` of a call or message; ``call`` for the whole of a
    call; ``literal`` for text of the template that was put into a variable, with the message and
    call at work then; ``visit_start`` and ``visit_end`` for the empty marks of loops.

    ``leaf`` counts the strings in a call's arguments; -1 is all of the arguments.
    """

    kind: str
    message: int
    call: int = -1
    leaf: int = -1


VISITS = frozenset({"visit_start", "visit_end"})


class Part(NamedTuple):
    """A stretch ``[start, end)`` of a text that comes from ``origin``.

    ``source`` is the index in the original string of the first character. Where the stretch is a
    JSON-escaped form, ``escape`` is the stretch of the original string that it stands for, else
    None; ``in_ascii`` says that the form has ASCII characters alone.
    """

    start: int
    end: int
    origin: Origin
    source: int = 0
    escape: str | None = None
    in_ascii: bool = False

    def covered(self) -> int:
        """Characters of the original string that the stretch stands for."""
        return self.end - self.start if self.escape is None else len(self.escape)


new_tuple = tuple.__new__  # with all fields, in a third of the time of a NamedTuple's own


def shifted(parts: Iterable[Part], by: int) -> tuple[Part, ...]:
    """The same parts ``by`` characters further on."""
    return tuple(
        [
            new_tuple(Part, (start + by, end + by, origin, source, escape, in_ascii))
            for start, end, origin, source, escape, in_ascii in parts
        ]
    )


class TracedText(str):
    """A string with the origins of its stretches; ``parts`` may nest (a call holds its name) and
    may be empty stretches.
    """

    __slots__ = ("parts",)
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return self  # the code that Jinja compiles passes every printed value through str()

    def __repr__(self) -> str:
        return quoted(str.__str__(self))[0]

    def __add__(self, other: str) -> TracedText:
        parts = self.parts
        if isinstance(other, TracedText):
            parts += shifted(other.parts, len(self))
        return with_parts(str.__add__(self, other), parts)

    def __radd__(self, other: str) -> TracedText:
        return with_parts(str.__add__(other, self), shifted(self.parts, len(other)))

    def cut(self, start: int, end: int, among: Iterable[Part] | None = None) -> TracedText:
        """Characters ``[start, end)``, 0 <= start <= end <= len; empty stretches on the edges
        stay, and so do marks of visits everywhere: one that begins in a text ends there. ``among``:
        the parts of one of several stretches of the text, the marks there alone; None: all of them.
        """
        if end - start == len(self):
            return self
        parts = []
        for a, b, origin, source, escape, in_ascii in self.parts if among is None else among:
            if a == b and among is None and origin.kind in VISITS:
                at = min(max(a, start), end) - start
                parts.append(Part(at, at, origin, 0, None, False))
                continue
            if a <= end and b >= start:
                low, high = max(a, start), min(b, end)
                if escape is not None and (low, high) != (a, b):
                    # Part of an escaped form: which characters these are is not worked out
                    continue
                if low < high or a == b:
                    parts.append(
                        Part(low - start, high - start, origin, source + low - a, escape, in_ascii)
                    )
        return with_parts(str.__getitem__(self, slice(start, end)), tuple(parts))

    def strip(self, chars: str | None = None) -> TracedText:
        end = len(str.rstrip(self, chars))
        return self.cut(min(len(self) - len(str.lstrip(self, chars)), end), end)

    def lstrip(self, chars: str | None = None) -> TracedText:
        return self.cut(len(self) - len(str.lstrip(self, chars)), len(self))

    def rstrip(self, chars: str | None = None) -> TracedText:
        return self.cut(0, len(str.rstrip(self, chars)))

    def __getitem__(self, index: Any) -> str:
        if isinstance(index, slice):
            start, end, step = index.indices(len(self))
            if step == 1:
                return self.cut(start, max(start, end))
        return str.__getitem__(self, index)

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        if sep is None:
            return self._find_each(str.split(self, None, maxsplit))
        return self._find_each(str.split(self, sep, maxsplit), len(sep))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        if sep is None:
            return self._find_each(str.rsplit(self, None, maxsplit))
        return self._find_each(str.rsplit(self, sep, maxsplit), len(sep))

    def splitlines(self, keepends: bool = False) -> list[str]:
        lines = self._find_each(str.splitlines(self, True), 0)
        if keepends:
            return lines
        plain = str.splitlines(self)
        return [line[: len(text)] for line, text in zip(lines, plain, strict=True)]

    def partition(self, sep: str) -> tuple[str, str, str]:
        return self._three(str.partition(self, sep))

    def rpartition(self, sep: str) -> tuple[str, str, str]:
        return self._three(str.rpartition(self, sep))

    def removeprefix(self, prefix: str, /) -> str:
        return self.cut(len(self) - len(str.removeprefix(self, prefix)), len(self))

    def removesuffix(self, suffix: str, /) -> str:
        return self.cut(0, len(str.removesuffix(self, suffix)))

    def _three(self, plain: tuple[str, str, str]) -> tuple[str, str, str]:
        first, second, third = self._find_each(list(plain), 0)
        return first, second, third

    def _find_each(self, plain: list[str], gap: int | None = None) -> list[str]:
        """The pieces of a split with their origins; ``gap`` characters stand between two, white
        space if None.
        """
        pieces: list[str] = []
        position = 0
        ahead = iter(self.parts) if self._in_order() else iter(())
        part = next(ahead, None)
        among: list[Part] | None = [] if part else None
        for piece in plain:
            if gap is None:
                position = str.index(self, piece, position)
            end = position + len(piece)
            if among is not None:
                among = [each for each in among if each[1] >= position]
                while part is not None and part[0] <= end:
                    among.append(part)
                    part = next(ahead, None)
            pieces.append(self.cut(position, end, among))
            position = end + (gap or 0)
        return pieces

    def _in_order(self) -> bool:
        """Whether no part starts before the one before it."""
        return all(left[0] <= right[0] for left, right in pairwise(self.parts))

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        if not old:
            return str.replace(self, old, new, count)
        pieces = self.split(old, count)
        escapes = [json.dumps(old)[1:-1], *(["\\" + old] if old in QUOTES else [])]
        if new == old or new not in escapes:
            return join(new, pieces)
        # An escaped form stands for what it replaces.
        row: list[str] = [pieces[0]]
        position = len(pieces[0])
        for piece in pieces[1:]:
            gone = self.cut(position, position + len(old)).parts
            whole = [part for part in gone if part.end - part.start == len(old)]
            row += [
                with_parts(
                    new, tuple([Part(0, len(new), part[2], part.source, old) for part in whole[:1]])
                ),
                piece,
            ]
            position += len(old) + len(piece)
        return join("", row)


def with_parts(text: str, parts: tuple[Part, ...]) -> TracedText:
    """A TracedText of a text and its parts."""
    made = TracedText(text)
    made.parts = parts
    return made


def traced(text: str, origin: Origin) -> TracedText:
    """A whole string of one origin."""
    return with_parts(text, (new_tuple(Part, (0, len(text), origin, 0, None, False)),))


def join(separator: str, pieces: Iterable[str]) -> str:
    """``separator.join(pieces)`` that keeps origins; a plain str where there are none."""
    pieces = list(pieces)
    parts: list[Part] = []
    position = 0
    for index, piece in enumerate(pieces):
        if index:
            position += len(separator)
        add_parts(parts, piece, position)
        position += len(piece)
    text = separator.join([str.__str__(piece) for piece in pieces])
    return with_parts(text, tuple(parts)) if parts else text


def add_parts(parts: list[Part], piece: str, position: int) -> None:
    """Append the parts of a piece of a text, which stands at character ``position``."""
    if isinstance(piece, TracedText):
        own = piece.parts
        if piece or len(own) != 1:
            parts.extend(shifted(own, position) if position else own)
        else:
            add_mark(parts, own[0].origin, position)


Around = Callable[[dict[Any, Any]], tuple[str, str] | None]
"""The empty texts that mark where a mapping is written out; None for one that is not known."""


def add_mark(parts: list[Part], origin: Origin, position: int) -> None:
    """Append an empty part; a visit in which nothing was printed leaves nothing behind."""
    if parts and origin[0] == "visit_end":
        start, _, last, _, _, _ = parts[-1]
        if start == position and last[0] == "visit_start" and last[1:] == origin[1:]:
            parts.pop()
            return
    parts.append(new_tuple(Part, (position, position, origin, 0, None, False)))


def concat(pieces: Iterable[Any]) -> str:
    """Join printed values, keeping origins: what Jinja uses for captured blocks, macros and the
    ``~`` operator.
    """
    return join("", map(as_text, pieces))


def as_text(value: Any, around: Around | None = None) -> str:
    """``str(value)``, keeping the origins of the texts in lists and mappings. ``around`` finds what
    to put around a mapping.
    """
    if type(value) not in (list, dict) or not (
        HIDDEN.get() or any(isinstance(leaf, TracedText) for leaf in leaves_of(value))
    ):
        return str(value)
    return _written(value, around)


def _written(value: Any, around: Around | None) -> str:
    """``repr(value)`` with the origins of the texts in it."""
    if isinstance(value, str):
        text, letter = quoted(str.__str__(value))
        return escaped(value, text, letter) if isinstance(value, TracedText) else text
    pieces: list[str] = []
    if type(value) is list:
        for item in value:
            pieces += [", ", _written(item, around)]
        return join("", ["[", *pieces[1:], "]"])
    if type(value) is dict:
        for key, item in value.items():
            pieces += [", ", _written(key, around), ": ", _written(item, around)]
        start, end = (around and around(value)) or ("", "")
        return join("", [start, "{", *pieces[1:], "}", end])
    return repr(value)


def quoted(text: str) -> tuple[str, Callable[[str], str]]:
    """``repr`` of a text as it was written, and a function that gives that of one of its letters in
    the same kind of quotes. Hidden characters stay hidden where Python does not escape what they
    stand for.
    """
    hidden = HIDDEN.get()
    shown = text.translate({ord(each): letter for each, letter in hidden.items()})
    quote = repr(shown)[0]

    def letter(character: str) -> str:
        shown = hidden.get(character, character)
        if shown in QUOTES[:2]:
            form = f"\\{shown}" if shown == quote else shown
        else:
            form = repr(shown)[1:-1]
        return f"{quote}{character if form == shown else form}{quote}"

    if shown == text:
        return repr(text), letter
    return f"{quote}{''.join([letter(each)[1:-1] for each in text])}{quote}", letter


def traced_leaves(value: Any, origin: Origin) -> Any:
    """A copy of nested lists and mappings in which every string, keys included, has its own origin:
    ``origin`` with the string's number, as ``leaves_of`` counts.
    """
    count = 0

    def copy(item: Any) -> Any:
        nonlocal count
        if isinstance(item, str):
            count += 1
            return traced(str.__str__(item), origin._replace(leaf=count - 1))
        if isinstance(item, dict):
            return {copy(key): copy(inner) for key, inner in item.items()}
        if isinstance(item, list):
            return [copy(inner) for inner in item]
        return item

    return copy(value)


def leaves_of(value: Any) -> Iterator[Any]:
    """Every string, number, boolean and None in nested lists and mappings, keys before values."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from leaves_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves_of(item)
    else:
        yield value


def escaped(value: TracedText, text: str, dumps: Callable[[Any], str]) -> TracedText:
    """``text`` is the JSON form of ``value``, quotes included: its parts moved to where their
    escaped characters are.
    """
    if len(text) == len(value) + 2:
        return with_parts(text, shifted(value.parts, 1))
    whole = str.__str__(value)
    widths = {character: len(dumps(character)) - 2 for character in set(whole)}
    at = list(accumulate(map(widths.__getitem__, whole), initial=1))
    if at[-1] != len(text) - 1:
        return with_parts(text, ())  # an encoder that escapes otherwise: the origins are lost
    in_ascii = text.isascii() and not whole.isascii()
    return with_parts(
        text,
        tuple(
            Part(
                at[part.start],
                at[part.end],
                part.origin,
                part.source,
                whole[part.start : part.end] if part.escape is None else part.escape,
                in_ascii or part.in_ascii,
            )
            for part in value.parts
        ),
    )
