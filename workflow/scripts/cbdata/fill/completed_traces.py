"""Accepted completions as traces."""

from __future__ import annotations

from collections.abc import Sequence

from cbdata.call_formats.base import Call
from cbdata.ids import canonical_json, trace_id
from cbdata.judge.judgement import Judgement
from cbdata.records import (
    CharSpan,
    FunctionCall,
    Generation,
    Message,
    SecurityOutcome,
    SignalHints,
    ToolCall,
    Trace,
)
from cbdata.tools import ToolSchema
from cbdata.traces.content_flags import message_flags
from cbdata.traces.injections import injection_spans


def completed_trace(
    skeleton: Trace,
    messages: Sequence[Message],
    judgement: Judgement,
    *,
    completion_text: str,
    completion_token_ids: Sequence[int],
    generation: Generation,
    tool_schema: ToolSchema,
) -> Trace:
    """Make the trace_v1 record of an accepted completion: tier B2, complete and ready to render.

    A harmful (DS) trace has the attack succeed; a benign (DR) one has it fail, exposed or not. The
    id is salted with the skeleton's: two skeletons that differ in the injection alone may have the
    same DR conversation. The twin is not known yet, see ``cbdata.fill.twins``.

    Args:
        skeleton: The trace_v1 that was completed.
        messages: What ``skeleton_messages`` gave and the model was shown.
        judgement: The completion's judgement.
        completion_text: The decoded completion with its special tokens, kept word for word.
        completion_token_ids: Its token ids, a final end-of-turn token included.
        generation: ``raw_metadata.generation`` of trace_v1 but for mode, outcome, arguments_valid
            and completion_token_ids, which come from the other arguments; in DR with its
            ``dr_context``.
        tool_schema: The schema that the calls were judged by.

    Raises:
        ValueError: The completion was not accepted, or a DR comes without ``dr_context``.
    """
    if not judgement.accepted:
        raise ValueError(
            f"{skeleton['id']}: a completion with outcome {judgement.outcome} is no trace"
        )
    mode = judgement.mode
    if mode == "dr" and "dr_context" not in generation:
        raise ValueError(f"{skeleton['id']}: generation of a DR trace lacks dr_context")
    cut = mode == "dr" and generation["dr_context"] != "kept"
    conversation: list[Message] = [
        *(message.copy() for message in messages),
        assistant_message(judgement, messages),
    ]
    dataset = skeleton["source"]["dataset"]
    safe: SecurityOutcome = "refusal" if judgement.outcome == "refusal" else "safe"
    hints = _injection_hints(skeleton, len(messages), cut)
    first = judgement.calls[0] if judgement.calls else None
    hints["raw_format"] = f"{first.markup}_{first.form}" if first else "prose"
    hints["raw_assistant_content"] = completion_text
    hints["completion_spans"] = judgement.spans
    if flags := message_flags(conversation, canonical_json(conversation)):
        hints["content_flags"] = flags
    if kept := skeleton["signal_hints"].get("record_flags"):
        hints["record_flags"] = list(kept)
    made: Generation = {**generation, "mode": mode, "outcome": judgement.outcome}
    if first:
        made["arguments_valid"] = bool(judgement.arguments_valid)
    made["completion_token_ids"] = list(completion_token_ids)
    trace: Trace = {
        "id": trace_id(dataset, mode, conversation, salt=skeleton["id"]),
        "completeness": "complete",
        "tier": "B2",
        "split": skeleton["split"],
        "source": {**skeleton["source"], "model_id": generation["model"]},
        "task": {**skeleton["task"]},
        "messages": conversation,
        "labels": {
            **skeleton["labels"],
            "category": "harmful" if mode == "ds" else "benign",
            "attack_succeeded": mode == "ds",
            "exposed": skeleton["labels"]["attack_present"] and not cut,
            "security_outcome": "tool_misuse" if mode == "ds" else safe,
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
        "signal_hints": hints,
        "raw_metadata": {
            "source_fields": dict(skeleton["raw_metadata"]["source_fields"]),
            "generation": made,
        },
    }
    if "tools" in skeleton:
        trace["tools"] = skeleton["tools"]
    else:
        trace["raw_metadata"]["tool_schema_ref"] = tool_schema.ref
    return trace


def assistant_message(judgement: Judgement, messages: Sequence[Message] = ()) -> Message:
    """The model's turn: the prose beside its calls as content, the calls with ids made up here,
    unique among ``messages``.
    """
    taken = {call["call_id"] for message in messages for call in message.get("tool_calls", ())}
    message: Message = {"role": "assistant", "content": judgement.content}
    if judgement.thinking:
        message["thinking"] = judgement.thinking
    calls: list[ToolCall] = []
    for call in judgement.calls:
        number = len(taken)
        while (call_id := f"call_{number}") in taken:
            number += 1
        taken.add(call_id)
        calls.append({"call_id": call_id, "function": _function(call)})
    if calls:
        message["tool_calls"] = calls
    return message


def _function(call: Call) -> FunctionCall:
    function: FunctionCall = {"name": call.name, "arguments": call.arguments}
    if call.arguments_json is not None:
        function["arguments_json"] = call.arguments_json
    function["raw_content"] = call.raw
    return function


def _injection_hints(skeleton: Trace, prompt_length: int, cut: bool) -> SignalHints:
    """The skeleton's injection spans as they stand in the prompt: gone where cut out, one message
    on behind an added system message.
    """
    moved: SignalHints = {}
    if cut:
        return moved
    added = prompt_length - len(skeleton["messages"])
    spans: list[CharSpan] = [
        {**span, "message_index": span["message_index"] + added}
        for span in injection_spans(skeleton)
    ]
    if spans:
        moved["injection_char_span"] = spans[0]
    if len(spans) > 1:
        moved["injection_char_spans"] = spans
    return moved
