"""The forms in which chat templates take a message's reasoning. A new one is a line in ``FORMS``.

Which of them a template prints is found by trying (``probes``); the first one is what most
templates and engines use, and stays where a template prints none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class ReasoningForm(NamedTuple):
    """One form.

    Attributes:
        name: What it is called.
        word: What stands in the source of every template that takes it.
        give: Puts the reasoning into a message; the message's content is there already.
    """

    name: str
    word: str
    give: Callable[[dict[str, Any], str], None]


def _in_fields(*keys: str) -> Callable[[dict[str, Any], str], None]:
    def give(message: dict[str, Any], thinking: str) -> None:
        message.update(dict.fromkeys(keys, thinking))

    return give


def _in_block(message: dict[str, Any], thinking: Any) -> None:
    """As the first block of the content, which becomes a list if it is none."""
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    message["content"] = [{"type": "thinking", "thinking": thinking}, *(content or ())]


def _in_nested_block(message: dict[str, Any], thinking: str) -> None:
    """The same, the reasoning itself a list of texts."""
    _in_block(message, [{"type": "text", "text": thinking}])


FIELDS = "fields"
FORMS = {
    form.name: form
    for form in (
        ReasoningForm(FIELDS, "", _in_fields("reasoning_content", "thinking")),
        ReasoningForm("reasoning", "reasoning", _in_fields("reasoning")),
        ReasoningForm("thought", "thought", _in_fields("thought")),
        ReasoningForm("block", "thinking", _in_block),
        ReasoningForm("nested block", "thinking", _in_nested_block),
    )
}
"""The forms by name, in the order in which they are tried: Solar takes ``reasoning``, Apriel 1.5
``thought``, Ministral and Magistral blocks.
"""
