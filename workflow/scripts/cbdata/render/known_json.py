"""JSON text of tools that many conversations show, written once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cbdata.tools import ToolList

if TYPE_CHECKING:
    from cbdata.render.instrument import Marks


class KnownJson:
    """A list of tools as templates are given it, and the JSON texts of what is in it. Templates
    cannot change what they are given (the sandbox sees to that).
    """

    def __init__(self, tools: Sequence[Any]) -> None:
        """Take a list of tools, which must not be changed from now on."""
        self.given = list(tools)
        self._inside = {id(part) for part in _containers(self.given)}
        self._texts: dict[tuple[int, str], str] = {}

    def has(self, value: Any) -> bool:
        """Whether a value is the list, or a list or mapping in it."""
        return id(value) in self._inside

    def text(self, value: Any, options: object, dumps: Callable[[Any], str]) -> str:
        """What ``dumps`` makes of a value in the list.

        Args:
            value: One that the list has.
            options: All that ``dumps`` depends on beside the value.
            dumps: Writes a value as JSON text.
        """
        key = id(value), repr(options)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = dumps(value)
        return text


def shown_tools(tools: Sequence[Any], marks: Marks) -> list[Any]:
    """The tools as a template is given them; those that are known from other conversations are
    known to ``marks`` too.
    """
    if not isinstance(tools, ToolList):
        return list(tools)
    known = tools.memo.get(KnownJson)
    if known is None:
        known = tools.memo[KnownJson] = KnownJson(tools)
    marks.tools = known
    given: list[Any] = known.given
    return given


def _containers(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, dict)):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _containers(item)
