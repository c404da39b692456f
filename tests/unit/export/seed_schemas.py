"""The closed schemas that the exported rows must fit: names, types and words of the first trace_v1,
render_v1 and lossmask_v1, as the seed document's system has published them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jsonschema

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
ANYTHING: Schema = {"type": "object"}
ID = "_[a-f0-9]{16,64}$"


def closed(fields: dict[str, Schema], required: Sequence[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


def some(fields: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": fields}


def texts(*names: str) -> dict[str, Schema]:
    return dict.fromkeys(names, TEXT)


def wholes(*names: str) -> dict[str, Schema]:
    return dict.fromkeys(names, WHOLE)


def array(of: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": of, **more}


def word(*words: str) -> Schema:
    return {"enum": list(words)}


MESSAGE = closed(
    {
        **texts("mid", "name", "content", "tool_call_id", "thinking"),
        "role": word("system", "user", "assistant", "tool"),
        "tool_calls": array(
            closed(
                {
                    "call_id": TEXT,
                    "function": closed(
                        {**texts("name", "arguments_json"), "arguments": ANYTHING}, ["name"]
                    ),
                    "schema_ref": ANYTHING,
                    "expected": ANYTHING,
                    "result": ANYTHING,
                },
                ["function"],
            )
        ),
    },
    ["role", "content"],
)
TRACE = closed(
    {
        "id": {"type": "string", "pattern": f"^trace_[a-z0-9_]+{ID}"},
        "created_at": TEXT,
        "completeness": word("skeleton", "complete"),
        "tier": word("B1", "B2"),
        "source": closed(
            {
                "tier": word("raw", "curated", "derived"),
                "dataset": word(
                    *("fujitsu_b4", "agentdojo", "tau2", "agentharm", "webarena", "weblinx"),
                    *("attackqa", "synthetic"),
                ),
                **texts("subset", "ingest_version"),
                "record_locator": some(
                    {"kind": word("jsonl_line", "uuid", "path", "index"), "value": TEXT}
                ),
            },
            ["dataset"],
        ),
        "task": closed(texts("family", "name", "variant")),
        "split": word("train", "eval", "test", "dev"),
        "messages": array(MESSAGE, minItems=1),
        "labels": closed(
            {
                "category": word("harmful", "benign"),
                "security_outcome": word("safe", "unsafe", "refusal", "tool_misuse", "unknown"),
                **texts("attack_type", "capability_category"),
                "attack_succeeded": FLAG,
            }
        ),
        "tool_attack": closed(
            texts("expected_tool", "observed_tool", "attack_vector", "injection_text")
        ),
        "training": closed(
            {
                "sample_weight": NUMBER,
                "loss_mask_policy": TEXT,
                "loss_mask_params": ANYTHING,
                "mixture": some({"class_id": TEXT, "stage_tags": array(TEXT)}),
            }
        ),
        "links": closed({**texts("raw_id", "paired_trace_id"), "parent_trace_ids": array(TEXT)}),
        "signal_hints": closed(
            {
                "injection_char_span": some(wholes("message_index", "char_start", "char_end")),
                **texts("expected_tool_name", "observed_tool_name", "guarantee_prefix_hint"),
            }
        ),
    },
    ["id", "source", "messages", "split"],
)
# The loaders make objects of these with the fields as arguments, so they are closed as well.
SPAN = wholes("message_index", "token_start", "token_end")
RENDER = closed(
    {
        "render_id": {"type": "string", "pattern": f"^render_[a-z0-9_-]+{ID}"},
        **texts("trace_id", "created_at", "tokenizer_id", "tokenizer_revision", "rendered_text"),
        "render_options": closed(
            {
                **texts("chat_template_name", "tools_digest"),
                "add_generation_prompt": FLAG,
                "tools_included": FLAG,
                "max_length": WHOLE,
                "truncation_side": word("left", "right"),
            }
        ),
        "input_ids": array(WHOLE),
        "attention_mask": array({"enum": [0, 1]}),
        "sequence_length": WHOLE,
        "alignment": closed(
            {
                "message_spans": array(closed({**SPAN, "role": TEXT})),
                "assistant_spans": array(closed(SPAN)),
                "tool_call_spans": array(
                    closed({**SPAN, **wholes("call_index", "name_token_end"), "tool_name": TEXT})
                ),
            }
        ),
        "special_tokens": closed(
            {
                "bos_position": WHOLE,
                "eos_positions": array(WHOLE),
                "python_tag_positions": array(WHOLE),
            }
        ),
        "signals": closed(
            {
                "injection_spans": array(
                    closed(wholes("token_start", "token_end"), ["token_start", "token_end"])
                ),
                "action_commitments": array(
                    closed(
                        {
                            **wholes("assistant_message_index", "commitment_token_idx"),
                            "commit_type": word(
                                *("tool_name_selected", "json_frame_parse_valid"),
                                *("logprob_margin", "parse_unambiguous", "custom"),
                            ),
                            **texts("committed_tool", "expected_tool", "guarantee_prefix"),
                            "logprob_margin": NUMBER,
                            "prefix_token_indices": array(WHOLE),
                        },
                        ["commitment_token_idx", "commit_type"],
                    )
                ),
            }
        ),
    },
    ["render_id", "trace_id", "tokenizer_id", "input_ids"],
)
LOSSMASK = closed(
    {
        "lossmask_id": {"type": "string", "pattern": f"^lossmask_[a-z0-9_-]+{ID}"},
        **texts("render_id", "trace_id", "created_at", "policy_id", "policy_version"),
        "policy_params": ANYTHING,
        "loss_mask": array({"type": "number", "minimum": 0, "maximum": 1}),
        "labels": array(WHOLE),
        "sample_weight": {"type": "number", "minimum": 0},
        "stats": closed(
            {**wholes("total_tokens", "masked_tokens", "unmasked_tokens"), "mask_ratio": NUMBER}
        ),
    },
    ["lossmask_id", "render_id", "trace_id", "policy_id", "loss_mask"],
)


def faults(schema: Schema, row: Any) -> list[str]:
    """What is wrong with a row, as a sentence each."""
    return [
        f"{error.json_path}: {error.message}"
        for error in jsonschema.Draft7Validator(schema).iter_errors(row)
    ]
