"""Why the render stage rejects a trace."""

from __future__ import annotations

from cbdata.rejects import Hints, Reasons

REASONS: Reasons = {
    "invalid_trace": "the record is not a trace_v1",
    "no_messages": "the trace has no message",
    "skeleton_not_allowed": "the trace has no completion, and allow_skeleton is false",
    "tool_schema_unknown": "tools are wanted, and the trace does not say which",
    "bad_tools": "the trace's own tools cannot be used",
    "tool_schema_missing": "the tool schema that the trace names is not there",
    "tool_schema_changed": "the tool schema has changed since the trace was made",
    "template_refused": "the chat template raised its own error about the conversation",
    "template_error": "the chat template failed on the conversation",
    "message_not_rendered": "the template prints nothing for a message",
    "message_rendered_twice": "the template prints a message more than once",
    "turns_overlap": "two messages share characters of the rendered text",
    "spans_disagree": (
        "the template asks for an answer at another place than where it prints the answer"
    ),
    "partition_broken": "a stretch of the rendered text would belong to two things",
    "content_not_placed": "a message's content cannot be found in the text exactly",
    "content_dropped": "the template leaves out a part of a message's content",
    "thinking_dropped": "the template leaves out a part of a message's reasoning",
    "thinking_not_placed": "a message's reasoning is printed and cannot be found exactly",
    "call_not_rendered": "the template does not print a tool's name",
    "call_not_placed": "a call cannot be found in the text exactly",
    "inline_call_unread": (
        "an assistant's content has the markup of calls, and they cannot be read as calls safely"
    ),
    "calls_overlap": "two calls share characters of the rendered text",
    "arguments_dropped": "the template leaves out an argument of a call",
    "control_token_in_content": "a message holds control-token text, and control_tokens is reject",
    "control_token_unescapable": "control-token text in a message cannot be escaped",
    "private_use_conflict": "the message uses the private characters that keep such text apart",
    "control_token_from_text": "plain text would have become a control token",
    "tokens_do_not_spell_text": "the token ids do not decode to the text",
    "bos_count": "the text has not exactly one beginning-of-sequence token",
    "injection_outside_message": "the injection span does not lie in its message",
    "too_long": "the render is longer than max_length, and overlength is reject",
    "window_too_small": "the system message alone fills max_length",
    "prompt_mismatch": "the prompt part is not what the model was given at the fill stage",
    "turn_not_behind_prompt": (
        "the template prints a turn otherwise than behind the prompt that asks for it (rows: turn)"
    ),
    "completion_missing": "the trace lacks the ids that the model wrote, or their spans",
    "completion_not_spelled": "the model's ids do not spell the completion's stored text",
    "completion_spans_wrong": "the completion's spans do not hold what the message says",
}

_SKELETON = "set allow_skeleton=true to keep traces without a completion"
_TEMPLATE = (
    "set chat_template to one that prints everything, such as llama31_tools; the target"
    " template_doctor shows what a template does"
)
_FIT = "set template_fit to the changes that the detail of the reject names"
_CONTROL = "set control_tokens=escape to make such text plain text"
_FILL = "use the tokenizer, chat_template, tool_schema and template_date of the fill stage"
_SCHEMA = "name the folder of the tool schemas in tool_schema_dirs, or set tools_included=false"

HINTS: Hints = {
    "invalid_trace": "give a file of traces (trace_v1, docs/data_contract.md)",
    "skeleton_not_allowed": _SKELETON,
    "tool_schema_unknown": _SCHEMA,
    "bad_tools": "mend the trace's tools, or set tools_included=false",
    "tool_schema_missing": _SCHEMA,
    "tool_schema_changed": "run the load stage again, or bring the tool schema back as it was",
    "template_refused": _FIT,
    "template_error": _FIT,
    "message_not_rendered": _TEMPLATE,
    "message_rendered_twice": _TEMPLATE,
    "content_dropped": _TEMPLATE,
    "thinking_dropped": "set chat_template to one that prints reasoning, or chat_template_kwargs",
    "call_not_rendered": _TEMPLATE,
    "arguments_dropped": _TEMPLATE,
    "control_token_in_content": _CONTROL,
    "too_long": "raise max_length, or set overlength=truncate or window",
    "window_too_small": "raise max_length, or set overlength=truncate",
    "prompt_mismatch": f"{_FILL}, or set completion_tokens=template",
    "turn_not_behind_prompt": "set rows=conversation, or another chat_template",
    "completion_missing": "set completion_tokens=template",
    "completion_not_spelled": f"{_FILL}, or set completion_tokens=template",
    "completion_spans_wrong": "set completion_tokens=template",
}
"""What to set where a reason is frequent."""
