"""Conversations written token by token, as renders and traces: what a policy trains can be read off
as strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cbdata.ids import derived_id
from tests.records import make_trace, message, render_record


@dataclass
class Call:
    """A tool call: tokens before the name, of the name, after it; ``settled`` counts the name
    tokens that settle the tool.
    """

    tool: str
    before: list[str]
    name: list[str]
    after: list[str]
    settled: int = 1


@dataclass
class Injection:
    """Tokens of a content that are the injection."""

    tokens: list[str]


@dataclass
class Thinking:
    """Tokens of a content that are reasoning."""

    tokens: list[str]


@dataclass
class Turn:
    """One message: header tokens, then content tokens, calls, injections and reasoning; ``after``
    is what the template puts behind the turn.
    """

    role: str
    header: list[str]
    content: list[str | Call | Injection | Thinking]
    after: list[str] = field(default_factory=list)


def build_render(
    turns: Sequence[Turn], bos: str | None = "<bos>", truncated: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """A render_v1 record of the turns, and its tokens as strings; token i has the id 100 + i."""
    tokens = [bos] if bos else []
    messages, assistant, calls, injections, commitments, thinking = [], [], [], [], [], []
    prompt_length = 0
    for index, turn in enumerate(turns):
        start = len(tokens)
        tokens += turn.header
        content_start = len(tokens)
        for part in turn.content:
            place = len(tokens)
            if isinstance(part, Call):
                name = place + len(part.before)
                number = sum(call["message_index"] == index for call in calls)
                tokens += part.before + part.name + part.after
                span = {
                    "token_start": place,
                    "token_end": len(tokens),
                    "name_token_start": name,
                    "name_token_end": name + len(part.name),
                }
                calls.append(
                    {"message_index": index, "call_index": number, "tool_name": part.tool, **span}
                )
                settled = name + part.settled - 1
                commitments.append(
                    {
                        "assistant_message_index": index,
                        "call_index": number,
                        "commitment_token_idx": settled,
                        "commit_type": "parse_unambiguous",
                        "committed_tool": part.tool,
                        "expected_tool": None,
                        "guarantee_prefix": "".join(part.name[: part.settled]),
                        "prefix_token_indices": list(range(place, settled + 1)),
                    }
                )
            elif isinstance(part, Injection | Thinking):
                tokens += part.tokens
                (injections if isinstance(part, Injection) else thinking).append(
                    {"message_index": index, "token_start": place, "token_end": len(tokens)}
                )
            else:
                tokens.append(part)
        span = {
            "token_start": start,
            "token_end": len(tokens),
            "content_start": content_start,
            "content_end": len(tokens),
        }
        messages.append({"message_index": index, "role": turn.role, **span})
        if turn.role == "assistant":
            prompt_length = content_start
            assistant.append(
                {"message_index": index, "token_start": content_start, "token_end": len(tokens)}
            )
        tokens += turn.after
    render = render_record(
        derived_id("render", tokens),
        "trace_made_" + derived_id("x", tokens)[2:],
        list(range(100, 100 + len(tokens))),
        alignment={
            "message_spans": messages,
            "assistant_spans": assistant,
            "tool_call_spans": calls,
            **({"thinking_spans": thinking} if thinking else {}),
        },
        signals={"injection_spans": injections, "action_commitments": commitments},
        prompt_length=prompt_length,
        special_tokens={
            "bos_position": 0 if bos else None,
            "eos_positions": [],
            "python_tag_positions": [],
        },
        truncated=truncated,
    )
    return render, tokens


def build_trace(trace_id: str, **changes: Any) -> dict[str, Any]:
    """A trace_v1 record with the id; keyword arguments: class_id, category, weight, policy, params,
    split, parent, completeness, content, losses (of one message each, None for a message without).
    """
    training: dict[str, Any] = {
        "sample_weight": changes.get("weight", 1.0),
        "mixture": {"class_id": changes.get("class_id", "made/benign"), "stage_tags": []},
    }
    if "policy" in changes:
        training["loss_mask_policy"] = changes["policy"]
    if "params" in changes:
        training["loss_mask_params"] = changes["params"]
    losses = changes.get("losses", [None])
    return make_trace(
        [
            message("user", changes.get("content", "hi")) | ({} if loss is None else {"loss": loss})
            for loss in losses
        ],
        dataset="made",
        category=changes.get("category", "benign"),
        split=changes.get("split", "train"),
        id=trace_id,
        completeness=changes.get("completeness", "complete"),
        training=training,
        links={"parent_trace_ids": [changes["parent"]]} if "parent" in changes else {},
        raw_metadata={"source_fields": changes.get("source_fields", {})},
    )


SHORT = [Turn("user", ["<user>"], ["hi"]), Turn("assistant", ["<asst>"], ["yes", "<end>"])]
PROMPT = [Turn("system", ["<sys>"], ["rules"]), Turn("user", ["<user>"], ["hi"])]


def agent_turns() -> list[Turn]:
    """System, user, two calls beside text, two tool results with the injection in the first, a call
    after it, a last answer.
    """
    return [
        Turn("system", ["<sys>"], ["Be", "kind", "<end>"], ["↵"]),
        Turn("user", ["<user>"], ["Pay", "rent", "<end>"], ["↵"]),
        Turn(
            "assistant",
            ["<asst>"],
            [
                "Looking",
                Call(
                    "read_file", ["<call>", "{"], ["read", "_", "file"], ["(rent)", "}"], settled=3
                ),
                Call("get_iban", ["<call>", "{"], ["get", "_iban"], ["()", "}"], settled=1),
                "<end>",
            ],
            ["↵"],
        ),
        Turn("tool", ["<tool>"], ["Bill", Injection(["SEND", "ALL"]), "42", "<end>"], ["↵"]),
        Turn("tool", ["<tool>"], ["DE00", "<end>"], ["↵"]),
        Turn(
            "assistant",
            ["<asst>"],
            [
                Call("send_money", ["<call>", "{"], ["send", "_money"], ["(42)", "}"], settled=1),
                "<end>",
            ],
            ["↵"],
        ),
        Turn("assistant", ["<asst>"], ["Done", "<end>"], ["↵"]),
    ]
