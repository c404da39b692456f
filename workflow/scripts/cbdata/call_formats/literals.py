"""One JSON or Python literal read from inside a text, in linear time and without recursion.

The standard readers do not fit: they recurse (a deeply nested text ends the process or raises),
they take NaN and lone surrogates, which no later stage can write, and they do not say where they
gave up, so that a search for calls that tries every brace of ``{"a":{"a":{"a":`` reads the rest of
the text once per brace.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import orjson

MAX_DEPTH = 100
"""Containers inside one another before a literal counts as unreadable; no tool takes arguments of
such a depth.
"""

MAX_DIGITS = 20
"""Digits of the largest integer of 64 bits."""

_SPACE = r"[ \t\n\r]*+"
_MARK = r"(?P<mark>[\[\]{}:,])"
_JSON_TOKEN = re.compile(
    _SPACE
    + r'(?:(?P<string>"(?:[^"\\\x00-\x1f]++|\\.)*+")'
    + r"|(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)(?![\w.])"
    + r"|(?P<word>true|false|null)\b|"
    + _MARK
    + ")"
)
_PYTHON_TOKEN = re.compile(
    _SPACE
    + r"(?:(?P<string>"
    + r'(?s:"""(?:[^"\\]++|\\.|"(?!""))*+""")|(?s:\'\'\'(?:[^\'\\]++|\\.|\'(?!\'\'))*+\'\'\')'
    + r'|"(?:[^"\\\n\r]++|\\.)*+"|\'(?:[^\'\\\n\r]++|\\.)*+\')'
    + r"|(?P<number>[+-]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+)(?![\w.])"
    + r"|(?P<word>True|False|None|true|false|null)\b|"
    + _MARK
    + ")"
)
_REST_IS_SPACE = re.compile(_SPACE + r"\Z")
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


class Dialect(NamedTuple):
    """How literals are written; JSON and PYTHON below."""

    token: re.Pattern[str]
    trailing_comma: bool
    python_strings: bool


JSON = Dialect(_JSON_TOKEN, trailing_comma=False, python_strings=False)
PYTHON = Dialect(_PYTHON_TOKEN, trailing_comma=True, python_strings=True)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that orjson can write, and the index one past it."""

    value: Any
    end: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No literal stands there. ``at``: where reading failed; ``resume``: where a search for the
    next literal may go on.

    ``resume`` is ``at``, or inside the last string if that was read just before the failure (its
    first quote may have been prose). Containers still open at ``at`` would fail there too, so
    nothing is missed, and every character is read at most twice.
    """

    at: int
    resume: int
    reason: str


class _Invalid(Exception):
    """A token that no JSON writer could write back."""


def _string(token: str, dialect: Dialect) -> str:
    if not dialect.python_strings:
        try:
            return str(orjson.loads(token))
        except orjson.JSONDecodeError as error:
            raise _Invalid(f"bad string ({error})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unknown escape such as "\d" is kept as written
            value = str(ast.literal_eval(token))
        value.encode("utf-8")
    except (SyntaxError, ValueError) as error:
        raise _Invalid(f"bad string ({error})") from error
    return value


def _number(token: str, dialect: Dialect) -> int | float:
    digits = token.lstrip("+-")
    whole = digits.isdigit()
    if dialect.python_strings and len(digits) > 1 and digits[0] == "0" and whole:
        raise _Invalid("leading zero")
    if whole:
        if len(digits) > MAX_DIGITS or not -(2**63) <= int(token) < 2**64:
            raise _Invalid("an integer beyond 64 bits")
        if token.startswith("-") and not int(digits):
            raise _Invalid("-0, which no integer is")
        return int(token)
    value = float(token)
    if math.isinf(value):
        raise _Invalid("number out of range")
    try:
        exact = Decimal(token)
    except InvalidOperation as error:  # an exponent beyond even what decimals have
        raise _Invalid("number out of range") from error
    if exact != Decimal(repr(value)):
        raise _Invalid("a number with more digits than a double keeps")
    return value


def read_literal(text: str, start: int, dialect: Dialect) -> Literal | Unreadable:
    """Read one literal.

    JSON: RFC 8259, with an object's repeated key refused, for which of the two values counts
    differs between readers. PYTHON: strings without prefix, numbers, True/False/None (and JSON's
    words), lists and dicts with string keys; tuples, sets, bytes and anything computed are refused.
    Numbers are kept exactly or refused: integers beyond 64 bits and decimals with more digits than
    a double keeps are unreadable.

    Args:
        text: The text to read from.
        start: Where the literal stands; white space before it is skipped.
        dialect: JSON or PYTHON.
    """
    containers: list[list[Any] | dict[str, Any]] = []
    keys: list[str | None] = []
    expect, pos, resume = "value", start, start

    def fail(reason: str) -> Unreadable:
        return Unreadable(pos, resume, reason)

    while True:
        match = dialect.token.match(text, pos)
        if match is None:
            return fail(
                "text ends inside a value" if _REST_IS_SPACE.match(text, pos) else "not a value"
            )
        kind = match.lastgroup or ""  # every alternative is a named group
        token = match[kind]
        try:
            if kind == "string" and expect in ("key", "key_or_close"):
                key = _string(token, dialect)
                if key in containers[-1]:
                    return fail("repeated key")
                keys[-1], expect = key, "colon"
                pos, resume = match.end(), match.start("string") + 1
                continue
            if kind == "mark" and token in "{[" and expect in ("value", "value_or_close"):
                if len(containers) == MAX_DEPTH:
                    return fail("nested too deeply")
                containers.append({} if token == "{" else [])
                keys.append(None)
                expect = "key_or_close" if token == "{" else "value_or_close"
                pos = resume = match.end()
                continue
            if kind == "mark" and token in ":,":
                if token == ":" and expect == "colon":
                    expect = "value"
                elif token == "," and expect == "next":
                    inside = "key" if isinstance(containers[-1], dict) else "value"
                    expect = f"{inside}_or_close" if dialect.trailing_comma else inside
                else:
                    return fail(f"unexpected {token!r}")
                pos = resume = match.end()
                continue
            value: Any
            if kind == "mark":
                closes = (
                    token in "]}"
                    and containers
                    and expect in ("next", "key_or_close", "value_or_close")
                )
                if not closes or isinstance(containers[-1], dict) != (token == "}"):
                    return fail(f"unexpected {token!r}")
                value = containers.pop()
                keys.pop()
            elif expect not in ("value", "value_or_close"):
                return fail(f"unexpected {kind}")
            elif kind == "string":
                value = _string(token, dialect)
            else:
                value = _WORDS[token] if kind == "word" else _number(token, dialect)
        except _Invalid as error:
            return fail(str(error))
        pos = match.end()
        resume = match.start("string") + 1 if kind == "string" else pos
        if not containers:
            return Literal(value, pos)
        parent = containers[-1]
        if isinstance(parent, dict):
            parent[keys[-1] or ""] = value  # a key was read before its value
        else:
            parent.append(value)
        expect = "next"
