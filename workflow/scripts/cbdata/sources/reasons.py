"""Why ETL_A rejects a raw record."""

from __future__ import annotations

from cbdata.rejects import Reasons

REASONS: Reasons = {
    "not_json": "the line is not JSON",
    "not_an_object": "the line is JSON but not an object",
    "not_strict_json": "the line holds NaN, Infinity or a number that no float holds",
    "cut_off": "the last line has no newline and is not whole",
    "nul_byte": "the line holds NUL bytes",
    "not_utf8": "the line is not UTF-8",
    "lone_surrogate": "an escape stands for half a character",
    "line_too_long": "the record is longer than 16 MiB; the rest of it is passed over",
    "too_deep": "the record is nested deeper than it can be written again",
    "gzip_file": "the whole file is compressed",
    "utf16_file": "the whole file is UTF-16",
    "empty_file": "the file is empty",
    "missing_field": "a field that must be there is not",
    "wrong_type": "a field is of another type than the format says",
    "conflicting_labels": "copies of this record disagree about what happened",
    "no_attack": "B4: combined_query adds nothing to benign_query",
    "unknown_tools": "B4: the tool schema has neither of the record's two tools",
    "missing_messages": "AgentDojo: the record has no list of messages",
    "empty_transcript": "AgentDojo: the list of messages is empty",
    "message_not_an_object": "AgentDojo: a message is not an object",
    "unknown_role": "AgentDojo: a message has a role that trace_v1 does not know",
    "content_not_text": "AgentDojo: a message's content is neither text nor blocks of text",
    "unknown_content_block": "AgentDojo: a content block of a type that trace_v1 has no place for",
    "bad_tool_call": "AgentDojo: a tool call cannot be read",
    "bad_arguments": "AgentDojo: a call's arguments are not an object",
    "misplaced_tool_calls": "AgentDojo: a message that is not the model's has tool calls",
    "bad_tool_result": "AgentDojo: a tool result cannot be read",
    "bad_security": "AgentDojo: an injected run whose security is neither true nor false",
}
