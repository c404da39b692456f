"""JSON text of values with origins in them, written by whatever writes JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cbdata.render.traced_text import Origin, TracedText, escaped, join, traced

HELD = re.compile(
    '"(?:\U0010fffc|' + r"\\udbff\\udffc)([0-9]+)(?:" + "\U0010fffd|" + r'\\udbff\\udffd)"'
)


@dataclass(frozen=True)
class Known:
    """What is known of whole values, by ``id``.

    Attributes:
        values: Their origins.
        start: Empty texts to put before them.
        end: Empty texts to put behind them.
    """

    values: Mapping[int, Origin]
    start: Mapping[int, str] = field(default_factory=dict)
    end: Mapping[int, str] = field(default_factory=dict)

    def __contains__(self, value: Any) -> bool:
        return id(value) in self.values or id(value) in self.start


def dump_json(
    value: Any, dumps: Callable[[Any], str], known: Known, *, inside: bool = False
) -> str:
    """Write a value as JSON text, keeping the origins of the strings in it.

    The traced texts are replaced by place holders out of the last private-use plane for one run of
    ``dumps`` and put back in their escaped form, so that indentation, separators and key order are
    whatever ``dumps`` does.

    Args:
        value: Anything that ``dumps`` takes, with traced texts at any depth.
        dumps: Writes a value as JSON text.
        known: What is known of whole values.
        inside: Whether what is known of ``value`` itself stands around it already.
    """
    if isinstance(value, TracedText):
        return escaped(value, dumps(str.__str__(value)), dumps)
    if not inside:
        if id(value) in known.values:
            return traced(dumps(value), known.values[id(value)])
        if id(value) in known.start:
            text = dump_json(value, dumps, known, inside=True)
            return join("", [known.start[id(value)], text, known.end[id(value)]])
    found: list[Any] = []
    held = _hold_items(value, found, known, _sorts(dumps))
    if not found:
        return dumps(value)
    pieces = HELD.split(
        dumps(held)
    )  # text, number, text, number, ..., in the order in which the keys come out
    if sorted(map(int, pieces[1::2])) != list(range(len(found))):
        return dumps(value)  # the origins are lost, the text is right
    for index in range(1, len(pieces), 2):
        text = dump_json(found[int(pieces[index])], dumps, known)
        if not isinstance(found[int(pieces[index])], TracedText):
            line = pieces[index - 1].rpartition("\n")[2]
            text = text.replace("\n", "\n" + line[: len(line) - len(line.lstrip())])
        pieces[index] = text
    return join("", pieces)


def _sorts(dumps: Callable[[Any], str]) -> bool:
    text = dumps({"b": 0, "a": 0})
    return text.find("a") < text.find("b")


def _hold(value: Any, found: list[Any], known: Known, sorts: bool) -> Any:
    """A copy of nested lists and mappings in which place holders stand for traced texts and for
    values of which something is known; these are appended to ``found``.
    """
    if isinstance(value, TracedText) or value in known:
        found.append(value)
        return f"\U0010fffc{len(found) - 1:08}\U0010fffd"  # of one length, so that they sort
    return _hold_items(value, found, known, sorts)


def _hold_items(value: Any, found: list[Any], known: Known, sorts: bool) -> Any:
    if isinstance(value, dict):
        items = sorted(value.items()) if sorts else value.items()
        return {
            _hold(key, found, known, sorts): _hold(item, found, known, sorts) for key, item in items
        }
    if isinstance(value, (list, tuple)):
        return [_hold(item, found, known, sorts) for item in value]
    return value
