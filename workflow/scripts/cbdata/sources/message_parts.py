"""Text, reasoning and metadata of one raw message, from every place where they are written.

A message has its text in ``content``, in blocks, in ``text`` or in ``refusal``, and its reasoning
in blocks or in a key of its own. Whatever else it holds is kept as metadata if it is known to say
nothing of what was said or shown; otherwise the record is rejected, so that no part is lost.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from cbdata.rejects import Reasons, Reject
from cbdata.sources import shown

PART_REASONS: Reasons = {
    "content_not_text": "a message's content is neither text nor blocks of text",
    "unknown_content_block": "a content block that trace_v1 has no place for",
    "unknown_message_part": "a message has a part that trace_v1 has no place for",
    "two_texts": "a message has its text, or its reasoning, in two places that differ",
}

METADATA = frozenset(
    {
        "id",
        "uuid",
        "type",
        "object",
        "index",
        "name",
        "created",
        "created_at",
        "timestamp",
        "time",
        "date",
        "duration",
        "latency",
        "model",
        "provider",
        "usage",
        "finish_reason",
        "stop_reason",
        "status",
        "stop_sequence",
        "logprobs",
        "system_fingerprint",
        "service_tier",
        "session_id",
        "signature",
        "thought_signature",
        "cache_control",
        "placeholder_args",
    }
)
"""Keys of messages, blocks and calls that say nothing of what was said or shown."""

_TEXT_KEYS = ("text", "refusal")
_THINKING_KEYS = ("thinking", "reasoning", "reasoning_content", "thinking_blocks")
_READ = frozenset({"role", "content", *_TEXT_KEYS, *_THINKING_KEYS})

_BLOCKS = {
    "text": ("text", "content"),
    "input_text": ("text", "content"),
    "output_text": ("text", "content"),
    "refusal": ("refusal", "text", "content"),
    "thinking": ("thinking", "text", "content"),
    "reasoning": ("reasoning", "text", "content"),
    "redacted_thinking": ("data", "content"),
}
"""Types of content blocks, and where each has its text: AgentDojo's own blocks in ``content``,
those of OpenAI and Anthropic in a key of their type.
"""
_THINKING_BLOCKS = frozenset({"thinking", "reasoning"})


class Parts(NamedTuple):
    """What a message says. ``metadata`` are its other fields."""

    content: str
    thinking: str | None
    metadata: dict[str, Any]


def read_parts(
    raw: dict[str, Any], role: str, where: str, flags: set[str], *, known: Collection[str]
) -> Parts:
    """Read a message. Blocks are joined by newlines, as AgentDojo joins them.

    Args:
        raw: The message.
        role: Its role in trace_v1.
        where: What it is called in errors, ``messages[3]``.
        flags: Oddities are added to it.
        known: The keys that the caller reads.

    Raises:
        Reject: A part cannot be read, has no place in trace_v1, or says something else than another
            part.
    """
    rest = metadata(raw, _READ.union(known), where, "unknown_message_part")
    texts, thoughts = [], []
    content = raw.get("content")
    if type(content) is list:
        text, thinking, opaque = _blocks(content, f"{where}.content", flags)
        texts.append(text)
        thoughts.append(thinking)
        if opaque:
            rest["content"] = opaque
    else:
        texts.append(_string(content, f"{where}.content", " or a list of blocks"))
    texts += [_string(raw.get(key), f"{where}.{key}") for key in _TEXT_KEYS]
    for key in _THINKING_KEYS:
        value = raw.get(key)
        if type(value) is list:
            text, thinking, opaque = _blocks(value, f"{where}.{key}", flags)
            thoughts += [text, thinking]
            if opaque:
                rest[key] = opaque
        else:
            thoughts.append(_string(value, f"{where}.{key}"))
    thinking = _one(thoughts, where, "reasoning")
    if role != "assistant" and (thinking or raw.get("refusal")):
        raise Reject(
            "unknown_message_part", f"{where}: only the model reasons or refuses, this is {role}"
        )
    return Parts(_one(texts, where, "text"), thinking or None, rest)


def metadata(
    fields: dict[str, Any], read: Collection[str], where: str, reason: str
) -> dict[str, Any]:
    """The fields that are not read, empty ones left out.

    Args:
        fields: A message, a block or a call.
        read: The keys that are read elsewhere.
        where: What it is called in errors.
        reason: Why a record is rejected for a field that may hold something said or shown: one that
            is not in ``METADATA`` and no number.

    Raises:
        Reject: There is such a field.
    """
    rest = {}
    for key in sorted(fields.keys() - read):
        value = fields[key]
        if not value and type(value) not in (int, float, bool):
            continue
        if key not in METADATA and type(value) not in (int, float, bool):
            raise Reject(
                reason, f"{where}: trace_v1 has no place for {shown(key)}, which is {shown(value)}"
            )
        rest[key] = value
    return rest


def _blocks(
    blocks: list[Any], where: str, flags: set[str]
) -> tuple[str, str, list[dict[str, Any]]]:
    """(text, reasoning, what else the blocks hold with their numbers) of a list of blocks."""
    texts: list[str] = []
    thoughts: list[str] = []
    opaque: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        at = f"{where}[{number}]"
        if type(block) is not dict:
            raise Reject("content_not_text", f"{at}: expected a content block, got {shown(block)}")
        kind = block.get("type")
        if type(kind) is not str or kind not in _BLOCKS:
            raise Reject(
                "unknown_content_block",
                f"{at}.type: expected {', '.join(_BLOCKS)}, got {shown(kind)}",
            )
        keys = _BLOCKS[kind]
        rest = metadata(block, {"type", *keys}, at, "unknown_content_block")
        text = _one([_string(block.get(key), f"{at}.{key}") for key in keys], at, "text")
        if kind == "redacted_thinking":
            flags.add("redacted_thinking_left_out")
            rest["data"] = text
        elif any(type(block.get(key)) is str for key in keys):
            (thoughts if kind in _THINKING_BLOCKS else texts).append(text)
        if rest:
            opaque.append({"block": number, **rest})
    return "\n".join(texts), "\n".join(thoughts), opaque


def _string(value: Any, where: str, also: str = "") -> str:
    """A text; null is the empty one. Raises Reject."""
    if value is None:
        return ""
    if type(value) is not str:
        raise Reject("content_not_text", f"{where}: expected a string{also}, got {shown(value)}")
    return value


def _one(texts: list[str], where: str, what: str) -> str:
    """The one text that several places give; those that are empty give none. Raises Reject."""
    given = set(filter(None, texts))
    if len(given) > 1:
        raise Reject("two_texts", f"{where} has {len(given)} different texts as its {what}")
    return given.pop() if given else ""
