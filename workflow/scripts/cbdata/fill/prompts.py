"""What the model is shown of a skeleton in each mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbdata.fill.clean_twin import clean_twin
from cbdata.records import DrContext, Message, Mode
from cbdata.rejects import Reject


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
    them untouched, one with ``restored`` with the environment's own text there; see ``clean_twin``.

    Args:
        skeleton: A trace_v1 without an assistant turn at its end.
        mode: The mode of the completion.
        dr_context: What a DR prompt has in the place of the injection.
        ds_system_suffix: What follows the system message of a DS after a blank line, or is the
            system message where there is none.
        dr_system_suffix: The same of a DR.

    Raises:
        Reject: The skeleton has no prompt in this mode.
    """
    given = skeleton["messages"]
    if not given or given[-1]["role"] == "assistant":
        raise Reject(
            "not_a_skeleton",
            f"{len(given)} messages, the last one by {given[-1]['role'] if given else 'nobody'}",
        )
    if mode == "ds" and not skeleton["labels"]["attack_present"]:
        raise Reject("no_attack", "labels.attack_present is false")
    messages = clean_twin(skeleton, "kept" if mode == "ds" else dr_context).messages
    suffix = ds_system_suffix if mode == "ds" else dr_system_suffix
    if suffix:
        _append_to_system(messages, suffix)
    return messages


def _append_to_system(messages: list[Message], suffix: str) -> None:
    if messages[0]["role"] == "system":
        before = messages[0]["content"]
        messages[0]["content"] = f"{before}\n\n{suffix}" if before else suffix
    else:
        messages.insert(0, {"role": "system", "content": suffix})
