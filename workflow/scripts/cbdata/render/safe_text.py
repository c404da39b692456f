"""What Jinja's ``safe`` and ``escape`` make of a text with origins: one that escapes HTML in what
is added to it, as markupsafe's ``Markup`` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup, escape

from cbdata.render.traced_text import Part, TracedText, as_text, escaped, with_parts

HTML = re.compile(r"[&<>'\"]")


class SafeText(TracedText):
    """A text with origins that counts as safe HTML."""

    __slots__ = ()

    def __html__(self) -> str:
        return str.__str__(self)

    def __str__(self) -> str:
        return with_parts(str.__str__(self), self.parts)

    def __add__(self, other: str) -> TracedText:
        if _needs_escape(other):
            return mark_safe(Markup(str.__str__(self)) + other)
        return _safe(TracedText.__add__(self, other))

    def __radd__(self, other: str) -> TracedText:
        if _needs_escape(other):
            return mark_safe(other + Markup(str.__str__(self)))
        plain = other if isinstance(other, TracedText) else with_parts(other, ())
        return _safe(TracedText.__add__(plain, self))

    def cut(self, start: int, end: int, among: Iterable[Part] | None = None) -> TracedText:
        """As for any text with origins."""
        return _safe(super().cut(start, end, among))


def _needs_escape(other: Any) -> bool:
    return not isinstance(other, str) or (
        not hasattr(other, "__html__") and HTML.search(str.__str__(other)) is not None
    )


def _safe(text: TracedText) -> SafeText:
    made = SafeText(str.__str__(text))
    made.parts = text.parts
    return made


def mark_safe(value: Any) -> SafeText:
    """Jinja's ``safe``, with origins kept."""
    text = value if isinstance(value, TracedText) else with_parts(str(Markup(value)), ())
    return _safe(text)


def escape_html(value: Any, hidden: Mapping[str, str]) -> str:
    """Jinja's ``escape``, with origins kept.

    Args:
        value: What to escape; text that is safe stays as it is.
        hidden: What each hidden character stands for (``cbdata.render.escape``): it is escaped as
            that would be.
    """
    if hasattr(value, "__html__"):
        return value if isinstance(value, SafeText) else mark_safe(value)
    text = as_text(value)
    if not isinstance(text, TracedText):
        return mark_safe(escape(text))

    entities = {ord(each): str(escape(letter)) for each, letter in hidden.items()}
    entities = {each: form for each, form in entities.items() if len(form) > 1}

    def quoted(letters: str) -> str:
        return f"'{str(escape(letters)).translate(entities)}'"

    quotes = quoted(str.__str__(text))
    return _safe(escaped(text, quotes, quoted).cut(1, len(quotes) - 1))
