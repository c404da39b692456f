"""Changes that make a conversation fit a template that refuses it.

Each has a name, and none is made unless the configuration names it (``template_fit``).

A fit changes what the template is given, not the trace: positions in the rendered text are led back
to the messages and calls of the trace. Adding one is a function and a line of ``FITS``.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cbdata.render.written_calls import WRITTEN, as_calls

Message = Mapping[str, Any]

REPORT = "report"
ID_LENGTH = 9  # what Mistral's tokenizers and templates demand
ID = re.compile(rf"[A-Za-z0-9]{{{ID_LENGTH}}}")
ALPHABET = string.digits + string.ascii_letters
BETWEEN = "\n\n"
JOINED = "(template_fit)"
"""In what is said of a conversation that is lost because of a fit."""
CALLS_APART = "calls apart"
"""Beside ``alternating_roles``: calls are not joined to answers. No setting names it; it is tried
where the join is in the way.
"""
CALLS = ("tool_calls", WRITTEN)


@dataclass(frozen=True)
class Source:
    """Which part of a trace a fitted message shows.

    Attributes:
        index: The trace's message.
        role: Its role there.
        start: Where its content begins in the fitted message's content.
        end: Where it ends.
        calls: The call indices in the trace of the calls that are shown, in order.
    """

    index: int
    role: str
    start: int
    end: int
    calls: tuple[int, ...] = ()


@dataclass(frozen=True)
class Fitted:
    """A message as the template is given it; several ``sources`` where messages were joined, the
    calls being those of the last one.
    """

    message: dict[str, Any]
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Fitting:
    """A conversation as the template is given it, and the names of the fits that changed it."""

    messages: Sequence[Message]
    fitted: Sequence[Fitted] | None = None
    applied: tuple[str, ...] = ()


def split_parallel_calls(conversation: Sequence[Fitted]) -> list[Fitted]:
    """A turn with several calls becomes a turn for each, with its own results behind it."""
    out: list[Fitted] = []
    position = 0
    while position < len(conversation):
        item = conversation[position]
        position += 1
        calls = item.message.get("tool_calls") or ()
        if len(calls) < 2:
            out.append(item)
            continue
        results: list[Fitted] = []
        while position < len(conversation) and conversation[position].message["role"] == "tool":
            results.append(conversation[position])
            position += 1
        for number, group in enumerate(_by_call(results, calls)):
            out += [_one_call(item, number), *group]
    return out


def _by_call(results: Sequence[Fitted], calls: Sequence[Message]) -> list[list[Fitted]]:
    """The results of each call: by id, and those without a known id by their place."""
    ids = [call["call_id"] for call in calls]
    groups: list[list[Fitted]] = [[] for _ in calls]
    for place, result in enumerate(results):
        given = result.message.get("tool_call_id")
        groups[ids.index(given) if given in ids else min(place, len(ids) - 1)].append(result)
    return groups


def _one_call(item: Fitted, number: int) -> Fitted:
    last = item.sources[-1]
    message = {**item.message, "tool_calls": [item.message["tool_calls"][number]]}
    chosen = replace(last, calls=(last.calls[number],))
    if number == 0:
        return Fitted(message, (*item.sources[:-1], chosen))
    message["content"] = ""
    message.pop("thinking", None)
    return Fitted(message, (replace(chosen, start=0, end=0),))


def text_beside_calls(conversation: Sequence[Fitted]) -> list[Fitted]:
    """Text beside calls becomes a turn of its own before them; reasoning stays with the text."""
    out: list[Fitted] = []
    for item in conversation:
        if not item.message.get("tool_calls") or not item.message["content"].strip():
            out.append(item)
            continue
        text = {key: value for key, value in item.message.items() if key != "tool_calls"}
        calls = {**item.message, "content": ""}
        calls.pop("thinking", None)
        last = item.sources[-1]
        out += [
            Fitted(text, (*item.sources[:-1], replace(last, calls=()))),
            Fitted(calls, (replace(last, start=0, end=0),)),
        ]
    return out


def tool_results_as_user(conversation: Sequence[Fitted]) -> list[Fitted]:
    """Tool results become user turns."""
    kept = ("content", "loss")
    return [
        replace(
            item,
            message={
                "role": "user",
                **{key: item.message[key] for key in kept if key in item.message},
            },
        )
        if item.message["role"] == "tool"
        else item
        for item in conversation
    ]


def alternating_roles(conversation: Sequence[Fitted]) -> list[Fitted]:
    """Neighbouring user messages become one, and so do neighbouring assistant messages as long as
    only the first has reasoning. Calls are joined only to an answer of another message, and only
    where they have no text of their own. A message without any text is joined to none, for nothing
    would show where it stands.
    """
    return _alternating(conversation, _only_calls)


def _calls_apart(conversation: Sequence[Fitted]) -> list[Fitted]:
    """As ``alternating_roles``, but calls are joined to no answer."""
    return _alternating(conversation, lambda item, before: False)


def _alternating(
    conversation: Sequence[Fitted], joins: Callable[[Fitted, Fitted], bool]
) -> list[Fitted]:
    """Neighbours of one role joined; ``joins`` says whether calls are, to the turn before."""
    out: list[Fitted] = []
    for item in conversation:
        before = out[-1].message if out else None
        calls = item.message.get("tool_calls")
        if (
            before is None
            or before["role"] != item.message["role"]
            or before["role"] not in ("user", "assistant")
            or not before["content"]
            or any(before.get(key) for key in CALLS)
            or item.message.get("thinking")
            or item.message.get(WRITTEN)
            or not (joins(item, out[-1]) if calls else item.message["content"])
        ):
            out.append(item)
            continue
        if calls:
            end = len(before["content"])
            source = replace(item.sources[-1], start=end, end=end)
            out[-1] = Fitted({**before, "tool_calls": calls}, (*out[-1].sources, source))
            continue
        moved = len(before["content"]) + len(BETWEEN)
        out[-1] = Fitted(
            {
                **before,
                "content": before["content"] + BETWEEN + item.message["content"],
            },
            (
                *out[-1].sources,
                *(replace(s, start=s.start + moved, end=s.end + moved) for s in item.sources),
            ),
        )
    return out


def _only_calls(item: Fitted, before: Fitted) -> bool:
    """Whether a turn of calls has no text, and is not the rest of the message before."""
    return not item.message["content"].strip() and item.sources[0].index != before.sources[-1].index


def nine_character_ids(conversation: Sequence[Fitted]) -> list[Fitted]:
    """Call ids become nine letters and digits, made from the real id; those that are so stay."""
    return [replace(item, message=_short_ids(item.message)) for item in conversation]


def _short_ids(message: dict[str, Any]) -> dict[str, Any]:
    out = dict(message)
    if message.get("tool_call_id"):
        out["tool_call_id"] = short_id(message["tool_call_id"])
    if message.get("tool_calls"):
        out["tool_calls"] = [
            {**call, "call_id": short_id(call["call_id"])} for call in message["tool_calls"]
        ]
    return out if out != message else message


def short_id(call_id: str) -> str:
    """An id of nine letters and digits for a call id: itself, or else digits of its SHA-256."""
    if ID.fullmatch(call_id):
        return call_id
    number = int.from_bytes(hashlib.sha256(call_id.encode("utf-8")).digest(), "big")
    digits = []
    for _ in range(ID_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(digits)


FITS: dict[str, Callable[[Sequence[Fitted]], list[Fitted]]] = {
    "split_parallel_calls": split_parallel_calls,
    "text_beside_calls": text_beside_calls,
    "tool_results_as_user": tool_results_as_user,
    "alternating_roles": alternating_roles,
    "nine_character_ids": nine_character_ids,
}
"""Every fit by name, in the order in which they are made."""


def fit(messages: Sequence[Message], names: Iterable[str]) -> Fitting:
    """Change a conversation by the named fits, each only where it applies.

    Args:
        messages: The messages of a trace; they are not changed.
        names: Names of fits, in any order, and perhaps ``CALLS_APART``.
    """
    wanted = set(names)
    if not wanted:
        return Fitting(messages)
    fitted = [
        Fitted(
            dict(message),
            (
                Source(
                    index,
                    message["role"],
                    0,
                    len(message["content"]),
                    tuple(range(len(as_calls(message).get("tool_calls") or ()))),
                ),
            ),
        )
        for index, message in enumerate(messages)
    ]
    applied = []
    for name, change in FITS.items():
        if name in wanted:
            apart = change is alternating_roles and CALLS_APART in wanted
            changed = (_calls_apart if apart else change)(fitted)
            if changed != fitted:
                applied.append(name)
            fitted = changed
    if not applied:
        return Fitting(messages)
    return Fitting([item.message for item in fitted], fitted, tuple(applied))
