"""Accepted completions as traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cbdata.ids import canonical_json, trace_id
from cbdata.judge.calls import Call
from cbdata.judge.judgement import Judgement
from cbdata.tools import ToolSchema
from cbdata.traces.content_flags import message_flags
from cbdata.traces.injections import injection_spans


def completed_trace(
    skeleton: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    judgement: Judgement,
    *,
    completion_text: str,
    completion_token_ids: Sequence[int],
    generation: Mapping[str, Any],
    tool_schema: ToolSchema,
) -> dict[str, Any]:
    """The trace_v1 record of an accepted completion.

    ``messages``: what ``skeleton_messages`` gave and the model was shown. ``completion_text``: the
    decoded completion with its special tokens, kept word for word. ``generation``:
    ``raw_metadata.generation`` of trace_v1 but for mode, outcome, arguments_valid and
    completion_token_ids, which come from the other arguments; in DR with its ``dr_context``.

    Tier B2 (complete, ready to render). A harmful (DS) trace has the attack succeed; a benign (DR)
    one has it fail, exposed or not. The id is salted with the skeleton's: two skeletons that differ
    in the injection alone may have the same DR conversation. The twin is not known yet, see
    ``link_twins``. Raises ValueError for a completion that was not accepted, and for a DR without
    ``dr_context``.
    """
    if not judgement.accepted:
        raise ValueError(
            f"{skeleton['id']}: a completion with outcome {judgement.outcome} is no trace"
        )
    mode = judgement.mode
    if mode == "dr" and "dr_context" not in generation:
        raise ValueError(f"{skeleton['id']}: generation of a DR trace lacks dr_context")
    cut = mode == "dr" and generation["dr_context"] == "removed"
    conversation = [
        *(dict(message) for message in messages),
        assistant_message(judgement, messages),
    ]
    dataset = skeleton["source"]["dataset"]
    labels = skeleton["labels"]
    return {
        "id": trace_id(dataset, mode, conversation, salt=skeleton["id"]),
        "completeness": "complete",
        "tier": "B2",
        "split": skeleton["split"],
        "source": {**skeleton["source"], "model_id": generation["model"]},
        "task": dict(skeleton["task"]),
        "messages": conversation,
        "labels": {
            **labels,
            "category": "harmful" if mode == "ds" else "benign",
            "attack_succeeded": mode == "ds",
            "exposed": labels["attack_present"] and not cut,
            "security_outcome": "tool_misuse" if mode == "ds" else "safe",
        },
        "tool_attack": {
            **skeleton.get("tool_attack", {}),
            "observed_tool": judgement.observed_tool,
        },
        "training": {
            **skeleton["training"],
            "mixture": {**skeleton["training"]["mixture"], "class_id": f"{dataset}/{mode}"},
        },
        "links": {
            **({"raw_id": skeleton["links"]["raw_id"]} if "raw_id" in skeleton["links"] else {}),
            "paired_trace_id": None,
            "parent_trace_ids": [skeleton["id"]],
        },
        "signal_hints": {
            **_injection_hints(skeleton, len(messages), cut),
            "raw_format": f"{judgement.calls[0].markup}_{judgement.calls[0].form}",
            "raw_assistant_content": completion_text,
            **(
                {"content_flags": flags}
                if (flags := message_flags(conversation, canonical_json(conversation)))
                else {}
            ),
            **(
                {"record_flags": list(kept)}
                if (kept := skeleton["signal_hints"].get("record_flags"))
                else {}
            ),
        },
        "raw_metadata": {
            "source_fields": dict(skeleton["raw_metadata"]["source_fields"]),
            "generation": {
                **generation,
                "mode": mode,
                "outcome": judgement.outcome,
                "arguments_valid": bool(judgement.arguments_valid),
                "completion_token_ids": list(completion_token_ids),
            },
            "tool_schema_ref": tool_schema.ref,
        },
    }


def assistant_message(
    judgement: Judgement, messages: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The model's turn: the prose beside its calls as content, the calls with ids made up here,
    unique among ``messages``.
    """
    taken = {call["call_id"] for message in messages for call in message.get("tool_calls", ())}
    message: dict[str, Any] = {"role": "assistant", "content": judgement.content}
    if judgement.thinking:
        message["thinking"] = judgement.thinking
    calls = []
    for call in judgement.calls:
        number = len(taken)
        while (call_id := f"call_{number}") in taken:
            number += 1
        taken.add(call_id)
        calls.append({"call_id": call_id, "function": _function(call)})
    message["tool_calls"] = calls
    return message


def link_twins(ds: dict[str, Any] | None, dr: dict[str, Any] | None) -> None:
    """Note in the DS and the DR trace of one skeleton each other's id, in place; a trace without a
    twin stays as it is.

    Raises ValueError if the two are not a DS and a DR of the same skeleton.
    """
    if ds is None or dr is None:
        return
    modes = [trace["raw_metadata"]["generation"]["mode"] for trace in (ds, dr)]
    parents = [trace["links"]["parent_trace_ids"] for trace in (ds, dr)]
    if modes != ["ds", "dr"] or parents[0] != parents[1]:
        raise ValueError(
            f"{ds['id']} and {dr['id']} are no twins: modes {modes}, parents {parents}"
        )
    ds["links"]["paired_trace_id"], dr["links"]["paired_trace_id"] = dr["id"], ds["id"]


def _function(call: Call) -> dict[str, Any]:
    function: dict[str, Any] = {"name": call.name, "arguments": call.arguments}
    if call.arguments_json is not None:
        function["arguments_json"] = call.arguments_json
    function["raw_content"] = call.raw
    return function


def _injection_hints(skeleton: Mapping[str, Any], prompt_length: int, cut: bool) -> dict[str, Any]:
    """The skeleton's injection spans as they stand in the prompt: gone where cut out, one message
    on behind an added system message.
    """
    if cut:
        return {}
    added = prompt_length - len(skeleton["messages"])
    spans = [
        {**span, "message_index": span["message_index"] + added}
        for span in injection_spans(skeleton)
    ]
    return {
        **({"injection_char_span": spans[0]} if spans else {}),
        **({"injection_char_spans": spans} if len(spans) > 1 else {}),
    }
