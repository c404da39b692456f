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
        give: Puts the reasoning into a message, of which everything else is there already.
        in_blocks: Whether the content becomes blocks, which a template that knows none of them
            would write out as they are.
        every: Whether every answer takes the form, if one of the conversation has reasoning: those
            without are given "". Calls then have their arguments as JSON text.
    """

    name: str
    word: str
    give: Callable[[dict[str, Any], str], None]
    in_blocks: bool = False
    every: bool = False


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


def _in_mapping(message: dict[str, Any], thinking: str) -> None:
    """Reasoning, content and calls as blocks of a mapping, which takes the content's place."""
    blocks: list[dict[str, Any]] = []
    if thinking:
        blocks.append({"type": "thoughts", "text": thinking})
    if message["content"]:
        blocks.append({"type": "response", "text": message["content"]})
    if calls := message.pop("tool_calls", ()):
        made = [call["function"] for call in calls]
        blocks.append({"type": "tool_calls", "calls": made})
    message["content"] = {"blocks": blocks}


FIELDS = "fields"
FORMS = {
    form.name: form
    for form in (
        ReasoningForm(FIELDS, "", _in_fields("reasoning_content", "thinking")),
        ReasoningForm("reasoning", "reasoning", _in_fields("reasoning")),
        ReasoningForm("thought", "thought", _in_fields("thought")),
        ReasoningForm("block", "thinking", _in_block, in_blocks=True),
        ReasoningForm("nested block", "thinking", _in_nested_block, in_blocks=True),
        ReasoningForm("mapping", "thoughts", _in_mapping, in_blocks=True, every=True),
    )
}
"""The forms by name, in the order in which they are tried: Solar takes ``reasoning``, Apriel 1.5
``thought``, Ministral and Magistral blocks, Apertus a mapping.
"""
