"""What the model is shown of a skeleton in each mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbdata.records import DrContext, Message, Mode
from cbdata.rejects import Reject
from cbdata.traces.injections import injection_spans


def skeleton_messages(
    skeleton: Mapping[str, Any],
    mode: Mode,
    dr_context: DrContext = "removed",
    ds_system_suffix: str = "",
    dr_system_suffix: str = "",
) -> list[Message]:
    """Return the messages to complete, in the form of trace_v1; the skeleton is not changed.

    A DS, and a DR with ``kept``, is shown the skeleton's messages, injection included. A DR with
    ``removed`` is shown the same with exactly the injection's spans cut out, white space around
    them untouched; where it stands comes from ``signal_hints`` alone, nothing is searched for.

    Args:
        skeleton: A trace_v1 without an assistant turn at its end.
        mode: The mode of the completion.
        dr_context: Whether the injection is cut out of a DR prompt.
        ds_system_suffix: What follows the system message of a DS after a blank line, or is the
            system message where there is none.
        dr_system_suffix: The same of a DR.

    Raises:
        Reject: The skeleton has no prompt in this mode.
    """
    messages: list[Message] = [message.copy() for message in skeleton["messages"]]
    if not messages or messages[-1]["role"] == "assistant":
        raise Reject(
            "not_a_skeleton",
            f"{len(messages)} messages, the last one by"
            f" {messages[-1]['role'] if messages else 'nobody'}",
        )
    if mode == "ds" and not skeleton["labels"]["attack_present"]:
        raise Reject("no_attack", "labels.attack_present is false")
    if mode == "dr" and dr_context == "removed" and skeleton["labels"]["attack_present"]:
        _cut_injection(skeleton, messages)
    suffix = ds_system_suffix if mode == "ds" else dr_system_suffix
    if suffix:
        _append_to_system(messages, suffix)
    return messages


def _cut_injection(skeleton: Mapping[str, Any], messages: list[Message]) -> None:
    spans = injection_spans(skeleton)
    if not spans:
        raise Reject(
            "no_injection_span",
            "signal_hints.injection_char_span is missing, so the injection cannot be cut out",
        )
    injection = (skeleton.get("tool_attack") or {}).get("injection_text")
    touched = set()
    for span in reversed(spans):
        index, start, end = span["message_index"], span["char_start"], span["char_end"]
        whole = skeleton["messages"][index]["content"] if index < len(messages) else ""
        if not 0 <= start < end <= len(whole):
            raise Reject(
                "bad_injection_span",
                f"[{start}, {end}) of message {index}, which has {len(whole)} characters",
            )
        if injection and whole[start:end] != injection:
            raise Reject(
                "bad_injection_span",
                f"[{start}, {end}) of message {index} is not tool_attack.injection_text",
            )
        content = messages[index]["content"]
        if end > len(content) or content[:end] != whole[:end]:
            raise Reject(
                "bad_injection_span", f"[{start}, {end}) of message {index} overlaps another span"
            )
        messages[index]["content"] = content[:start] + content[end:]
        touched.add(index)
    for index in sorted(touched):
        if injection and injection in messages[index]["content"]:
            raise Reject(
                "injection_remains", f"message {index} holds the injection's text outside its spans"
            )
        if not messages[index]["content"].strip():
            raise Reject("empty_user_message", f"message {index} held nothing but the injection")


def _append_to_system(messages: list[Message], suffix: str) -> None:
    if messages[0]["role"] == "system":
        before = messages[0]["content"]
        messages[0]["content"] = f"{before}\n\n{suffix}" if before else suffix
    else:
        messages.insert(0, {"role": "system", "content": suffix})
