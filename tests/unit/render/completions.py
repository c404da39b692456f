"""Completions for the tests of generated renders: texts cut into token ids anywhere, and traces
made of them as the fill stage makes them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.completion import Completion
from cbdata.judge.reading import Parsed, ReadingRules, read_completion
from cbdata.render.renderer import Renderer
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.tools import ToolSchema
from tests.conversations import build_trace


def byte_names() -> list[str]:
    """The character that byte-level BPE writes for each byte, as GPT-2 published it."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    own += range(ord("®"), ord("ÿ") + 1)
    names, extra = {byte: chr(byte) for byte in own}, 256
    for byte in range(256):
        if byte not in names:
            names[byte] = chr(extra)
            extra += 1
    return [names[byte] for byte in range(256)]


BYTE_NAMES = byte_names()


def cut_anywhere(
    text: str, tokenizer: PlainTokenizer, choice: random.Random
) -> list[tuple[int, bytes]]:
    """A text as token ids of a byte-level tokenizer with the bytes of each, cut at random wherever
    the vocabulary has a token for the piece; control tokens are their own ids.
    """
    out: list[tuple[int, bytes]] = []
    for number, piece in enumerate(tokenizer.pattern.split(text)):
        if number & 1:
            out.append((tokenizer.control[piece].id, piece.encode()))
            continue
        data, at = piece.encode(), 0
        while at < len(data):
            for length in (choice.randint(1, 9), choice.randint(1, 3), 1):
                name = "".join(BYTE_NAMES[byte] for byte in data[at : at + length])
                token = tokenizer.model.token_to_id(name)
                if token is not None and token not in tokenizer.text_tokens.values():
                    break
            out.append((token, data[at : at + length]))
            at += length
    return out


def completion_spans(parsed: Parsed) -> dict[str, Any]:
    """``signal_hints.completion_spans`` of what the judge read."""
    return {
        "thinking": [list(span) for span in parsed.thinking_spans],
        "content": [list(span) for span in parsed.content_spans],
        "calls": [
            {
                "start": call.start,
                "end": call.end,
                "name_start": call.name_start,
                "name_end": call.name_end,
            }
            for call in parsed.calls
        ],
    }


def completed_trace(
    number: int,
    messages: list[dict[str, Any]],
    ids: Sequence[int],
    renderer: Renderer,
    schema: ToolSchema,
    rules: ReadingRules | None = None,
) -> dict[str, Any]:
    """The trace of a completion that follows some messages."""
    completion = Completion.from_ids(ids, renderer.tokenizer, renderer.decode)
    parsed = read_completion(completion, schema, rules or ReadingRules())
    assert parsed.kind == "calls", parsed
    message: dict[str, Any] = {"role": "assistant", "content": parsed.content}
    if parsed.thinking:
        message["thinking"] = parsed.thinking
    message["tool_calls"] = [
        {
            "call_id": f"call_{place}",
            "function": {"name": call.name, "arguments": call.arguments, "raw_content": call.raw},
        }
        for place, call in enumerate(parsed.calls)
    ]
    prompt = renderer.prompt(messages, schema.tools)
    trace = build_trace(f"trace_made_{number:032x}")
    trace["messages"] = [*messages, message]
    trace["signal_hints"] = {
        "raw_assistant_content": completion.text,
        "completion_spans": completion_spans(parsed),
    }
    trace["raw_metadata"]["tool_schema_ref"] = schema.ref
    trace["raw_metadata"]["generation"] = {
        "model": "m",
        "backend": "vllm",
        "temperature": 0.0,
        "max_tokens": 1,
        "seed": 0,
        "attempt": 1,
        "finish_reason": "stop",
        "call_format": parsed.call_format,
        "prompt_sha256": prompt.sha256,
        "prompt_tokens": len(prompt.ids),
        "completion_token_ids": list(ids),
    }
    return trace
