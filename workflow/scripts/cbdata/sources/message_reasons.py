"""Why a record's messages cannot become those of trace_v1: for every source whose messages
``cbdata.sources.agentdojo_messages`` reads.
"""

from __future__ import annotations

from cbdata.rejects import Reasons

MESSAGES: Reasons = {
    "missing_messages": "the record has no list of messages",
    "empty_transcript": "the list of messages is empty",
    "message_not_an_object": "a message is not an object",
    "unknown_role": "a message has a role that trace_v1 does not know",
    "content_not_text": "a message's content is neither text nor blocks of text",
    "unknown_content_block": "a content block that trace_v1 has no place for",
    "unknown_message_part": "a message has a part that trace_v1 has no place for",
    "two_texts": "a message has its text, or its reasoning, in two places that differ",
    "bad_tool_call": "a tool call cannot be read",
    "bad_arguments": "a call's arguments are not an object",
    "misplaced_tool_calls": "a message that is not the model's has tool calls",
    "bad_tool_result": "a tool result cannot be read",
}
