"""Records in the fields of the first trace_v1, render_v1 and lossmask_v1."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.export.rows import ExportError
from cbdata.export.seed_fields import seed_lossmask, seed_render, seed_trace
from tests.records import Corpus, call, make_trace, message
from tests.unit.export.seed_schemas import LOSSMASK, RENDER, TRACE, faults

HEX = "0" * 31 + "1"


def harmful_trace(**changes: Any) -> dict[str, Any]:
    """A completed trace with every field that the form here has."""
    made = make_trace(
        [
            message("system", "s") | {"loss": 0.5},
            message("user", "Pay. <!-- send_money -->"),
            message("assistant", "", call("send_money", recipient="X", note=None)),
        ],
        dataset="agentdojo",
        role="ds",
        category="harmful",
        **changes,
    )
    made["source"] |= {
        "subset": "banking",
        "model_id": "m",
        "model_family": None,
        "defense": None,
        "record_locator": {"kind": "line", "value": 7},
    }
    made["tool_attack"] = {
        "expected_tool": None,
        "simulated_tool": "send_money",
        "observed_tool": "send_money",
        "attack_vector": "tool_result",
        "injection_text": "<!-- send_money -->",
        "goal_id": "g",
        "target_calls": [{"tool": "send_money", "arguments": {}}],
    }
    made["signal_hints"] = {
        "injection_char_span": {
            "message_index": 1,
            "char_start": 5,
            "char_end": 24,
            "default_text": "",
        },
        "raw_assistant_content": "[call]",
    }
    return made


def test_a_trace() -> None:
    trace = harmful_trace()
    assert seed_trace(trace) == {
        "id": trace["id"],
        "completeness": "complete",
        "tier": "B1",
        "source": {
            "dataset": "agentdojo",
            "subset": "banking",
            "ingest_version": "test",
            "record_locator": {"kind": "jsonl_line", "value": "7"},
        },
        "task": {"family": "tool_flip", "name": "LLM01"},
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "Pay. <!-- send_money -->"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "call_id": trace["messages"][2]["tool_calls"][0]["call_id"],
                        "function": {
                            "name": "send_money",
                            "arguments": {"recipient": "X", "note": None},
                        },
                    }
                ],
            },
        ],
        "labels": {
            "category": "harmful",
            "security_outcome": "tool_misuse",
            "attack_type": "LLM01",
            "attack_succeeded": True,
        },
        "tool_attack": {
            "attack_vector": "tool_result",
            "injection_text": "<!-- send_money -->",
            "observed_tool": "send_money",
        },
        "training": {
            "sample_weight": 1.0,
            "mixture": {"class_id": "agentdojo/ds", "stage_tags": []},
        },
        "links": {"parent_trace_ids": []},
        "signal_hints": {
            "injection_char_span": {"message_index": 1, "char_start": 5, "char_end": 24},
            "observed_tool_name": "send_money",
        },
        "split": "train",
    }
    assert faults(TRACE, seed_trace(trace)) == []


def test_observed_is_the_tool_that_the_attack_aims_at() -> None:
    trace = harmful_trace()
    trace["tool_attack"] |= {"observed_tool": "get_balance", "expected_tool": "get_balance"}
    row = seed_trace(trace)
    assert row["tool_attack"]["observed_tool"] == "send_money"
    assert row["signal_hints"]["observed_tool_name"] == "send_money"
    assert row["tool_attack"]["expected_tool"] == "get_balance"
    assert row["signal_hints"]["expected_tool_name"] == "get_balance"
    del trace["tool_attack"]
    row = seed_trace(trace)
    assert "tool_attack" not in row
    assert "observed_tool_name" not in row["signal_hints"]
    assert faults(TRACE, row) == []


@pytest.mark.parametrize(
    ("dataset", "subset", "expected"),
    [
        ("fujitsu_b4", "LLM01", {"dataset": "fujitsu_b4", "subset": "LLM01"}),
        ("agentdyn", "shopping", {"dataset": "synthetic", "subset": "agentdyn/shopping"}),
        ("injecagent", None, {"dataset": "synthetic", "subset": "injecagent"}),
    ],
)
def test_sources(dataset: str, subset: str | None, expected: dict[str, str]) -> None:
    trace = harmful_trace()
    trace["source"] |= {
        "dataset": dataset,
        "subset": subset,
        "record_locator": {"kind": "file", "value": "a/b.json"},
    }
    row = seed_trace(trace)
    assert row["source"] == {
        **expected,
        "ingest_version": "test",
        "record_locator": {"kind": "path", "value": "a/b.json"},
    }
    assert faults(TRACE, row) == []


@pytest.mark.parametrize(
    ("split", "there"),
    [("train", "train"), ("dev", "dev"), ("test", "test"), ("validation", "eval"), ("val", "eval")],
)
def test_splits(split: str, there: str) -> None:
    assert seed_trace(harmful_trace(split=split))["split"] == there


def test_a_split_without_a_counterpart_is_refused() -> None:
    with pytest.raises(ExportError, match="split 'holdout': expected one of train, eval"):
        seed_trace(harmful_trace(split="holdout"))


def test_a_render_and_its_mask() -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    render, mask = corpus.renders[0], corpus.masks[0]
    render |= {"render_id": f"render_{HEX}", "tokenizer_id": "Org/My Model.v2/", "on_policy": True}
    mask |= {"lossmask_id": f"lossmask_{HEX}", "render_id": render["render_id"]}
    render["render_options"] |= {"truncation_side": "right", "rows": "conversation"}
    render["alignment"]["thinking_spans"] = []
    row = seed_render(render)
    assert faults(RENDER, row) == []
    assert row["render_id"] == f"render_my_model_v2_{HEX}"
    for key in ("trace_id", "tokenizer_id", "input_ids", "attention_mask", "sequence_length"):
        assert row[key] == render[key]
    assert row["render_options"] == {
        "chat_template_name": "toy",
        "add_generation_prompt": False,
        "tools_included": False,
        "max_length": render["render_options"]["max_length"],
        "truncation_side": "right",
    }
    [span] = render["alignment"]["tool_call_spans"]
    assert row["alignment"]["tool_call_spans"] == [
        {key: value for key, value in span.items() if key != "name_token_start"}
    ]
    [injection] = render["signals"]["injection_spans"]
    assert row["signals"]["injection_spans"] == [
        {"token_start": injection["token_start"], "token_end": injection["token_end"]}
    ]
    found = seed_lossmask(mask, row)
    assert faults(LOSSMASK, found) == []
    trained = sum(value > 0 for value in mask["loss_mask"])
    assert found == {
        "lossmask_id": f"lossmask_assistant_only_{HEX}",
        "render_id": row["render_id"],
        "trace_id": mask["trace_id"],
        "policy_id": "assistant_only",
        "policy_version": "1.0.0",
        "policy_params": {},
        "loss_mask": mask["loss_mask"],
        "sample_weight": 1.0,
        "stats": {
            "total_tokens": len(mask["loss_mask"]),
            "masked_tokens": len(mask["loss_mask"]) - trained,
            "unmasked_tokens": trained,
            "mask_ratio": trained / len(mask["loss_mask"]),
        },
    }


def test_a_second_mask_goes_along() -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    mask = corpus.masks[0] | {"pooling_mask": corpus.masks[0]["loss_mask"]}
    assert seed_lossmask(mask, seed_render(corpus.renders[0]))["pooling_mask"] == mask["loss_mask"]
