"""The prompt of a skeleton without its injection: the same messages with the environment's own text
in the injected places, or with nothing there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cbdata.records import CharSpan, DrContext, Message
from cbdata.rejects import Reject
from cbdata.traces.injections import injection_spans


@dataclass(frozen=True)
class CleanTwin:
    """The messages of a DR, and what stands in the place of the injection in fact: ``restored``
    needs ``default_text`` of every span.
    """

    messages: list[Message]
    context: DrContext


def clean_twin(skeleton: Mapping[str, Any], dr_context: DrContext) -> CleanTwin:
    """Make the messages of a DR. The skeleton is not changed.

    Outside its injection spans every message stays as it is, so the twins are the same up to the
    first of these, and differ behind it in them alone. Where the injection stands comes from
    ``signal_hints``; nothing is searched for.

    Args:
        skeleton: A trace_v1.
        dr_context: ``kept`` changes nothing; ``removed`` cuts the injection out; ``restored`` puts
            the environment's own text in its place, cuts it out where that text is not known, and
            changes nothing where the skeleton does not say where the injection stands.

    Raises:
        Reject: The injection cannot be taken out.
    """
    messages: list[Message] = [message.copy() for message in skeleton["messages"]]
    if dr_context == "kept" or not skeleton["labels"]["attack_present"]:
        return CleanTwin(messages, dr_context)
    spans = injection_spans(skeleton)
    if not spans and dr_context == "restored":
        return CleanTwin(messages, "kept")
    if not spans:
        raise Reject(
            "no_injection_span",
            "signal_hints.injection_char_span is missing, so the injection cannot be cut out",
        )
    restore = dr_context == "restored"
    _replace(skeleton, messages, spans, restore)
    whole = restore and all("default_text" in span for span in spans)
    return CleanTwin(messages, "restored" if whole else "removed")


def _replace(
    skeleton: Mapping[str, Any], messages: list[Message], spans: Sequence[CharSpan], restore: bool
) -> None:
    injection = (skeleton.get("tool_attack") or {}).get("injection_text")
    restored: dict[int, bool] = {}
    for span in reversed(spans):
        index, start, end = span["message_index"], span["char_start"], span["char_end"]
        whole = skeleton["messages"][index]["content"] if index < len(messages) else ""
        if not 0 <= start < end <= len(whole):
            raise Reject(
                "bad_injection_span",
                f"[{start}, {end}) of message {index}, which has {len(whole)} characters",
            )
        # Tool results print one injection in several ways: there the first place alone must agree.
        alike = span is spans[0] or "decision_point" not in skeleton
        if injection and alike and whole[start:end] != injection:
            raise Reject(
                "bad_injection_span",
                f"[{start}, {end}) of message {index} is not tool_attack.injection_text",
            )
        content = messages[index]["content"]
        if end > len(content) or content[:end] != whole[:end]:
            raise Reject(
                "bad_injection_span", f"[{start}, {end}) of message {index} overlaps another span"
            )
        text = span.get("default_text") if restore else None
        messages[index]["content"] = content[:start] + (text or "") + content[end:]
        restored[index] = restored.get(index, False) or text is not None
    for index in sorted(restored):
        if injection and injection in messages[index]["content"]:
            raise Reject(
                "injection_remains", f"message {index} holds the injection's text outside its spans"
            )
        # An environment's own text may be empty, a message that lost its injection may not.
        if not restored[index] and not messages[index]["content"].strip():
            raise Reject("empty_user_message", f"message {index} held nothing but the injection")
