"""One tool call as a model writes it: a JSON object, a Python call, or a list of either."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from cbdata.call_formats.literals import JSON, PYTHON, Unreadable, read_literal

Form = Literal["json", "python"]
Markup = Literal["python_tag", "tool_call", "bare"]

CALL_START = re.compile(r"[A-Za-z_]\w*+(?:\.\w++)*+\(")
_SPACE = re.compile(r"\s*+")
_KEYWORD = re.compile(r"\s*+([A-Za-z_]\w*+)\s*+=(?!=)")
_ARGUMENT_END = re.compile(r"\s*+([,)])")
_CLOSE = re.compile(r"\s*+\)")
_ITEM_END = re.compile(r"\s*+([,\]])")
_OBJECT_OF_A_CALL = re.compile(
    r"""\{\s*+(?:["'](?:name|function|tool_calls?)["']\s*+:|["']type["']\s*+:\s*+["']function["'])"""
)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was read whole.

    ``raw`` is ``text[start:end]`` (code points, half-open), without the markup around it.
    ``arguments_json`` is set where the model wrote the arguments as a string of JSON instead of an
    object.
    """

    name: str
    arguments: dict[str, Any]
    raw: str
    start: int
    end: int
    form: Form
    markup: Markup
    arguments_json: str | None = None


class Item(NamedTuple):
    """What stands at a place where a call may begin, and where to read on.

    call: one or more whole calls. data: something whole that is no call. broken: a call was begun
    and is not one; ``detail`` says why. nothing: neither, so the text there is prose.
    """

    kind: Literal["call", "data", "broken", "nothing"]
    end: int
    calls: tuple[Call, ...] = ()
    detail: str = ""


class _Reading(NamedTuple):
    """The name and arguments found in a JSON object, or what it is instead (``data`` or
    ``broken``).
    """

    kind: Literal["call", "data", "broken"]
    name: str = ""
    arguments: dict[str, Any] | None = None
    arguments_json: str | None = None
    detail: str = ""


def _call_of(value: dict[str, Any]) -> _Reading:
    """Find the call in an object: ``{name, arguments|parameters}``, also inside ``{"type":
    "function", "function": {...}}``.
    """
    if "tool_calls" in value or "tool_call" in value:
        return _Reading("broken", detail="calls inside a message object")
    wrapped = "function" in value and "name" not in value
    inner = value["function"] if wrapped else value
    if not isinstance(inner, dict):
        return _Reading("broken", detail="'function' is not an object")
    given = [key for key in ("arguments", "parameters") if key in inner]
    if "name" not in inner or not given:
        missing = "name" if "name" not in inner else "arguments or parameters"
        announced = wrapped or value.get("type") == "function"
        return _Reading("broken" if announced else "data", detail=f"no {missing}")
    if len(given) == 2:
        return _Reading("broken", detail="both arguments and parameters")
    name, arguments, written = inner["name"], inner[given[0]], None
    if not isinstance(name, str) or not name:
        return _Reading("broken", detail="the name is not a string")
    if isinstance(arguments, str):
        decoded = read_literal(arguments, 0, JSON)
        if isinstance(decoded, Unreadable) or arguments[decoded.end :].strip():
            return _Reading("broken", detail="the arguments are a string that is not JSON")
        written, arguments = arguments, decoded.value
    if not isinstance(arguments, dict):
        return _Reading("broken", detail="the arguments are not an object")
    if (
        given[0] == "parameters"
        and arguments.get("type") == "object"
        and isinstance(arguments.get("properties"), dict)
    ):
        return _Reading("data", detail="a tool's definition, not a call")
    return _Reading("call", name, arguments, written)


@dataclass(frozen=True, slots=True)
class CallReader:
    """Reads items of one text. ``tool_names``: the tools there are, or None where they are not
    known (see ``is_python_call``).
    """

    text: str
    tool_names: Collection[str] | None = None

    def item(self, pos: int, markup: Markup) -> Item:
        """Read what stands at ``pos``. Inside markup, what is no call is broken; outside, it is
        data or nothing.
        """
        found = self._item(pos, markup)
        if markup != "bare" and found.kind in ("data", "nothing"):
            return Item(
                "broken", max(found.end, pos), detail=found.detail or "no call after the markup"
            )
        return found

    def _item(self, pos: int, markup: Markup) -> Item:
        if self.text.startswith("{", pos):
            return self._object(pos, markup)
        if self.text.startswith("[", pos):
            return self._list(pos, markup)
        if CALL_START.match(self.text, pos):
            return self._python(pos, markup)
        return Item("nothing", pos)

    def _object(self, pos: int, markup: Markup) -> Item:
        literal = read_literal(self.text, pos, JSON)
        if isinstance(literal, Unreadable):
            kind = "broken" if _OBJECT_OF_A_CALL.match(self.text, pos) else "nothing"
            return Item(
                kind,
                literal.resume,
                detail=f"JSON unreadable at character {literal.at}: {literal.reason}",
            )
        reading = _call_of(literal.value)
        if reading.kind != "call" or reading.arguments is None:
            return Item(reading.kind, literal.end, detail=reading.detail)
        raw = self.text[pos : literal.end]
        call = Call(
            reading.name,
            reading.arguments,
            raw,
            pos,
            literal.end,
            "json",
            markup,
            reading.arguments_json,
        )
        return Item("call", literal.end, (call,))

    def _list(self, pos: int, markup: Markup) -> Item:
        calls: list[Call] = []
        data = False
        at = pos + 1
        while True:
            start = self._skip(at)
            if not self.text.startswith("{", start) and not CALL_START.match(self.text, start):
                return Item(
                    "broken" if calls else "nothing",
                    max(start, pos + 1),
                    tuple(calls),
                    "a list of calls that does not go on",
                )
            item = (
                self._object(start, markup)
                if self.text.startswith("{", start)
                else self._python(start, markup)
            )
            if item.kind in ("broken", "nothing"):
                return Item(
                    "broken" if calls or item.kind == "broken" else "nothing",
                    item.end,
                    tuple(calls),
                    item.detail,
                )
            calls += item.calls
            data |= item.kind == "data"
            end = _ITEM_END.match(self.text, item.end)
            if end is None:
                return Item(
                    "broken" if calls else "nothing",
                    item.end,
                    tuple(calls),
                    "a list of calls that is not closed",
                )
            at = end.end()
            if end[1] == "]":
                break
        if calls and data:
            return Item("broken", at, tuple(calls), "a list of calls and other things")
        return Item("call" if calls else "data", at, tuple(calls))

    def is_python_call(self, name: str, markup: Markup) -> bool:
        """Whether ``name(`` can begin a call. Bare, any code of an answer looks like one, so there
        a known tool's name decides.
        """
        return markup != "bare" or self.tool_names is None or name in self.tool_names

    def _python(self, pos: int, markup: Markup) -> Item:
        opening = CALL_START.match(self.text, pos)
        if opening is None:
            return Item("nothing", pos)
        name, at = opening[0][:-1], opening.end()
        if not self.is_python_call(name, markup):
            return Item("nothing", at)
        # With the names known, name( is a call begun; without, it takes a keyword argument to tell
        # it from any other code.
        begun = "broken" if self.tool_names is not None else "nothing"
        arguments: dict[str, Any] = {}
        close = _CLOSE.match(self.text, at)
        while close is None:
            keyword = _KEYWORD.match(self.text, at)
            if keyword is None:
                return Item(begun, at, detail="an argument without its name")
            if keyword[1] in arguments:
                return Item("broken", at, detail=f"argument {keyword[1]} given twice")
            begun = "broken"
            literal = read_literal(self.text, keyword.end(), PYTHON)
            if isinstance(literal, Unreadable):
                return Item(
                    begun,
                    max(literal.resume, at),
                    detail=f"argument unreadable at character {literal.at}: {literal.reason}",
                )
            arguments[keyword[1]] = literal.value
            after = _ARGUMENT_END.match(self.text, literal.end)
            if after is None:
                return Item(
                    begun, literal.end, detail=f"call not closed at character {literal.end}"
                )
            at = after.end()
            close = after if after[1] == ")" else _CLOSE.match(self.text, at)
        end = close.end()
        return Item(
            "call", end, (Call(name, arguments, self.text[pos:end], pos, end, "python", markup),)
        )

    def _skip(self, pos: int) -> int:
        match = _SPACE.match(self.text, pos)
        return match.end() if match else pos
