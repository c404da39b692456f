"""Records in the fields of the first trace_v1, render_v1 and lossmask_v1: those of the seed
document's system, whose schemas are closed and whose loaders take no other names.

Fields that the two forms share keep their values. What differs:

- nulls are left out; ids of renders and masks get the middle part that the patterns there ask for;
- ``labels`` are left out: there they are shifted by one, and no loader reads them;
- ``observed_tool`` is the tool that the attack aims at, in harmful and benign traces alike;
- ``mask_ratio`` is the share of tokens *with* loss;
- a source that is not in its list of eight is written as ``synthetic``, its own name in ``subset``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cbdata.export.rows import ExportError

Fields = Mapping[str, "Fields | None"]
"""Names of fields, each with those inside it or None where all are kept."""

DATASETS = frozenset(
    {
        "fujitsu_b4",
        "agentdojo",
        "tau2",
        "agentharm",
        "webarena",
        "weblinx",
        "attackqa",
        "synthetic",
    }
)
SPLITS = {
    "train": "train",
    "eval": "eval",
    "test": "test",
    "dev": "dev",
    "validation": "eval",
    "val": "eval",
}
LOCATORS = {"line": "jsonl_line", "file": "path"}


def _all(*names: str) -> dict[str, Fields | None]:
    return dict.fromkeys(names)


_CALL: Fields = {"call_id": None, "function": _all("name", "arguments", "arguments_json")}
_TRACE: Fields = {
    **_all("id", "completeness", "tier"),
    "source": _all("subset", "ingest_version"),
    "task": _all("family", "name", "variant"),
    "messages": {
        **_all("role", "name", "content", "tool_call_id", "thinking"),
        "tool_calls": _CALL,
    },
    "labels": _all(
        "category", "security_outcome", "attack_type", "attack_succeeded", "capability_category"
    ),
    "tool_attack": _all("expected_tool", "attack_vector", "injection_text"),
    "training": {
        **_all("sample_weight", "loss_mask_policy", "loss_mask_params"),
        "mixture": _all("class_id", "stage_tags"),
    },
    "links": _all("raw_id", "paired_trace_id", "parent_trace_ids"),
    "signal_hints": {
        "injection_char_span": _all("message_index", "char_start", "char_end"),
    },
}
_SPAN = ("message_index", "token_start", "token_end")
_RENDER: Fields = {
    **_all("trace_id", "created_at", "tokenizer_id", "rendered_text", "input_ids"),
    **_all("attention_mask", "sequence_length"),
    "render_options": _all(
        "chat_template_name",
        "add_generation_prompt",
        "tools_included",
        "tools_digest",
        "max_length",
    ),
    "alignment": {
        "message_spans": _all(*_SPAN, "role"),
        "assistant_spans": _all(*_SPAN),
        "tool_call_spans": _all(*_SPAN, "call_index", "tool_name", "name_token_end"),
    },
    "special_tokens": _all("bos_position", "eos_positions", "python_tag_positions"),
    "signals": {
        "injection_spans": _all("token_start", "token_end"),
        "action_commitments": _all(
            "assistant_message_index",
            "commitment_token_idx",
            "commit_type",
            "committed_tool",
            "expected_tool",
            "guarantee_prefix",
            "prefix_token_indices",
        ),
    },
}
_LOSSMASK: Fields = {
    **_all("trace_id", "policy_id", "policy_version", "policy_params"),
    **_all("loss_mask", "pooling_mask", "sample_weight"),
    "stats": _all("total_tokens", "masked_tokens", "unmasked_tokens"),
}


def seed_trace(trace: Mapping[str, Any]) -> dict[str, Any]:
    """A trace in those fields.

    Args:
        trace: A trace_v1.

    Raises:
        ExportError: Its split has a name that has no counterpart there.
    """
    row = _only(trace, _TRACE)
    source, attack = trace["source"], trace.get("tool_attack") or {}
    known = source["dataset"] in DATASETS
    if not known:
        names = [source["dataset"], row["source"].get("subset")]
        row["source"]["subset"] = "/".join(name for name in names if name)
    locator = source["record_locator"]
    row["source"] |= {
        "dataset": source["dataset"] if known else "synthetic",
        "record_locator": {
            "kind": LOCATORS.get(locator["kind"], "index"),
            "value": str(locator["value"]),
        },
    }
    aimed_at = attack.get("simulated_tool") or attack.get("observed_tool")
    if aimed_at is not None:
        row["tool_attack"]["observed_tool"] = aimed_at
        row["signal_hints"]["observed_tool_name"] = aimed_at
    if attack.get("expected_tool") is not None:
        row["signal_hints"]["expected_tool_name"] = attack["expected_tool"]
    return {**row, "split": seed_split(trace["split"])}


def seed_render(render: Mapping[str, Any]) -> dict[str, Any]:
    """A render in those fields.

    Args:
        render: A render_v1.
    """
    row = _only(render, _RENDER)
    side = render["render_options"]["truncation_side"]
    if side in ("left", "right"):
        row["render_options"]["truncation_side"] = side
    model = _slug(render["tokenizer_id"].rstrip("/").rsplit("/", 1)[-1])
    return {"render_id": seed_render_id(render["render_id"], model), **row}


def seed_lossmask(mask: Mapping[str, Any], render: Mapping[str, Any]) -> dict[str, Any]:
    """A loss mask in those fields.

    Args:
        mask: A lossmask_v1.
        render: Its render, in those fields already.
    """
    row = _only(mask, _LOSSMASK)
    stats = row["stats"]
    total = stats["total_tokens"]
    stats["mask_ratio"] = stats["unmasked_tokens"] / total if total else 0.0
    policy = _slug(mask["policy_id"])
    return {
        "lossmask_id": f"lossmask_{policy}_{_hex(mask['lossmask_id'])}",
        "render_id": render["render_id"],
        **row,
    }


def seed_render_id(render_id: str, model: str) -> str:
    """An id of a render with the name of its model in it, as the pattern there asks for.

    Args:
        render_id: The id.
        model: The model's name, of the characters that the pattern allows.
    """
    return f"render_{model}_{_hex(render_id)}"


def seed_split(split: str) -> str:
    """The split's name there. Raises ExportError for one that has no counterpart."""
    if split not in SPLITS:
        raise ExportError(
            f"split {split!r}: expected one of {', '.join(SPLITS)}, which are all that the first"
            " trace_v1 knows. Hint: rename the split in the config or in the traces"
        )
    return SPLITS[split]


def _only(value: Any, fields: Fields) -> Any:
    """A record, or each of a list, with the named fields alone and without nulls."""
    if isinstance(value, list):
        return [_only(each, fields) for each in value]
    return {
        name: value[name] if inner is None else _only(value[name], inner)
        for name, inner in fields.items()
        if value.get(name) is not None
    }


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "_", name.lower())[:40].strip("_") or "x"


def _hex(identity: str) -> str:
    return identity.rsplit("_", 1)[-1]
