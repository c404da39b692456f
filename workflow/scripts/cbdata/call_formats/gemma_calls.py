"""Calls of FunctionGemma and Gemma 4: ``call:name{key:value,...}``, strings between two delimiters
that are control tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cbdata.call_formats.base import MARK, Block, Call, Fault, View, marker
from cbdata.call_formats.json_calls import is_definition
from cbdata.call_formats.literals import JSON, MAX_DEPTH, Unreadable, read_literal

_NAME = r"call:([^\s{}<>\"':,\ufdd0]++)(?=\{)"
_KEY = re.compile(r"([^\s:,{}\[\]<>|\"\ufdd0]++):")
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*+")
_WORD = re.compile(r"(true|false|null|None)(?![\w.])")
_WORDS = {"true": True, "false": False, "null": None, "None": None}


@dataclass(frozen=True, slots=True)
class GemmaNotation:
    """The markers of one family.

    ``opening``, ``closing``: around a call. ``quote``: before and behind a string.
    """

    opening: str
    closing: str
    quote: str

    def blocks(self, view: View, start: int, markup: str) -> list[Block] | Fault:
        """Find the calls, as ``CallFormat.blocks`` does.

        Args:
            view: The completion up to its end of turn.
            start: Where to begin.
            markup: What the calls say of the markup around them.
        """
        opens = re.compile(marker(self.opening) + f"(?:{_NAME})?")
        closing = MARK + self.closing[1:]
        found: list[Block] = []
        pos = start
        while opening := opens.search(view.shape, pos):
            if opening[1] is None:
                return Fault(opening.start(), f"{self.opening} without call:name and a brace")
            read = self._value(view, opening.end())
            if isinstance(read, Fault):
                return read
            arguments, end = read
            if not view.shape.startswith(closing, end):
                return Fault(end, f"{self.opening} that is not closed behind its call")
            if is_definition(arguments):
                return Fault(opening.start(), "a tool's definition, not a call")
            raw_start = opening.start() + len(self.opening)
            pos = end + len(closing)
            call = Call(
                name=opening[1],
                arguments=arguments,
                raw=view.text[raw_start:end],
                raw_start=raw_start,
                start=opening.start(),
                end=pos,
                name_start=opening.start(1),
                name_end=opening.end(1),
                form="json",
                markup=markup,
            )
            found.append(Block(opening.start(), pos, (call,)))
        return found

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """Calls without anything between them, as the families' templates print them."""
        return "".join(
            f"{self.opening}call:{name}{self._written(arguments)}{self.closing}"
            for name, arguments in calls
        )

    def _value(self, view: View, start: int) -> tuple[Any, int] | Fault:
        """The value at ``start`` and the index one past it, read without recursion."""
        open_containers: list[dict[str, Any] | list[Any]] = []
        keys: list[str] = []
        pos = start
        while True:
            pos = view.skip_space(pos)
            char = view.text[pos : pos + 1]
            value: Any
            if char in ("{", "["):
                if len(open_containers) == MAX_DEPTH:
                    return Fault(pos, "nested too deeply")
                open_containers.append({} if char == "{" else [])
                keys.append("")
                pos = view.skip_space(pos + 1)
                closes = view.text.startswith("}" if char == "{" else "]", pos)
                if not closes:
                    if char == "{":
                        key = self._key(view, pos, open_containers[-1])
                        if isinstance(key, Fault):
                            return key
                        keys[-1], pos = key
                    continue
                value, pos = open_containers.pop(), pos + 1
                keys.pop()
            else:
                read = self._scalar(view, pos)
                if isinstance(read, Fault):
                    return read
                value, pos = read
            # The value is whole: put it where it belongs, and close what ends behind it.
            while open_containers:
                inner = open_containers[-1]
                if isinstance(inner, dict):
                    inner[keys[-1]] = value
                else:
                    inner.append(value)
                pos = view.skip_space(pos)
                if view.text.startswith(",", pos):
                    pos = view.skip_space(pos + 1)
                    if isinstance(inner, dict):
                        key = self._key(view, pos, inner)
                        if isinstance(key, Fault):
                            return key
                        keys[-1], pos = key
                    break
                if not view.text.startswith("}" if isinstance(inner, dict) else "]", pos):
                    return Fault(pos, "neither a comma nor a closing bracket behind a value")
                value, pos = open_containers.pop(), pos + 1
                keys.pop()
            else:
                return value, pos

    def _key(self, view: View, pos: int, inner: Any) -> tuple[str, int] | Fault:
        """A key with its colon, plain or in delimiters."""
        if view.shape.startswith(MARK, pos):
            read = self._string(view, pos)
            if isinstance(read, Fault):
                return read
            key, end = read
            if not view.text.startswith(":", end):
                return Fault(end, "no colon behind a key")
            end += 1
        else:
            plain = _KEY.match(view.shape, pos)
            if plain is None:
                return Fault(pos, "no key with its colon")
            key, end = plain[1], plain.end()
        if key in inner:
            return Fault(pos, f"argument {key!r:.60} given twice")
        return key, end

    def _scalar(self, view: View, pos: int) -> tuple[Any, int] | Fault:
        """A string, a number or a word."""
        if view.shape.startswith(MARK, pos):
            return self._string(view, pos)
        if word := _WORD.match(view.text, pos):
            return _WORDS[word[1]], word.end()
        if view.text[pos : pos + 1] not in tuple("-0123456789"):
            return Fault(pos, "neither a string in its delimiters nor a number")
        number = read_literal(view.text, pos, JSON)
        if isinstance(number, Unreadable):
            return Fault(number.at, f"a number unreadable: {number.reason}")
        return number.value, number.end

    def _string(self, view: View, pos: int) -> tuple[str, int] | Fault:
        """A string between two delimiters; no other marker may stand in it."""
        quote = MARK + self.quote[1:]
        if not view.shape.startswith(quote, pos):
            return Fault(pos, "a marker inside a call")
        begin = pos + len(quote)
        end = view.shape.find(MARK, begin)
        if end < 0:
            return Fault(pos, "a string that is not closed")
        if not view.shape.startswith(quote, end):
            return Fault(end, "a marker inside a string")
        text = view.text[begin:end]
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return Fault(pos, "a lone surrogate in a string")
        return text, end + len(quote)

    def _written(self, value: Any) -> str:
        """A value as the templates print it: keys in their order, those that would read as
        something else in delimiters.
        """
        if isinstance(value, str):
            return f"{self.quote}{value}{self.quote}"
        if isinstance(value, dict):
            pairs = sorted(value.items(), key=lambda pair: pair[0].lower())
            return (
                "{" + ",".join(f"{self._key_written(k)}:{self._written(v)}" for k, v in pairs) + "}"
            )
        if isinstance(value, list):
            return "[" + ",".join(map(self._written, value)) + "]"
        if value is None:
            return "null"
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} has no spelling in this notation")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _key_written(self, key: str) -> str:
        return key if _PLAIN_KEY.fullmatch(key) else f"{self.quote}{key}{self.quote}"
