"""The whole workflow on real data with the Llama 3.1 tokenizer: AgentDojo's transcripts and Fujitsu
B4's rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from tokenizers import Tokenizer

from cbdata.jsonl import read_records
from tests.workflow.command import Snakemake
from tests.workflow.random_llama import write_random_llama

pytestmark = [pytest.mark.workflow, pytest.mark.vllm]

NAMES = ["fujitsu_b4_ds", "fujitsu_b4_dr", "agentdojo_complete"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake, shared_dir: Path) -> Path:
    """The output folder of a finished run. The completions come from a model with random weights,
    through real vLLM.
    """
    folder = tmp_path_factory.mktemp("real")
    model = write_random_llama(shared_dir / "tokenizers/llama-3.1", folder / "llama-3.1")
    snakemake(
        "--profile",
        "profiles/local",
        config={
            "fujitsu_b4_path": shared_dir / "data/fujitsu_b4/orchestrator_attacks_sample.jsonl",
            "agentdojo_path": shared_dir / "data/agentdojo",
            "decision_points": "injection",
            "output_base": folder / "data",
            "log_dir": folder / "logs",
            "model": model,
            "tokenizer": model,
            "force_llama": "true",
            "constrain_tool_calls": "true",
            "enforce_eager": "true",
            "max_model_len": 2048,
            "max_tokens": 128,
            "attempts": 12,
            "temperature_ds": 1.0,
            "temperature_dr": 1.0,
        },
    )
    return folder


def counts(folder: Path, stage: str, name: str) -> dict[str, Any]:
    return orjson.loads((folder / f"data/stats/{stage}/{name}.json").read_bytes())["counts"]


def test_every_transcript_and_row_is_accounted_for(run: Path) -> None:
    assert counts(run, "etl_a", "agentdojo_complete") == {
        "records_in": 8 * 194,
        "records_out": 1528,
        "rejected": 0,
        "duplicates": 24,
        "not_selected": 0,
        "headers": 8,
    }
    cut = counts(run, "cut", "agentdojo_skeletons")
    assert (cut["records_in"], cut["records_out"], cut["rejected"]) == (1528, 620, 4)
    assert counts(run, "etl_a", "fujitsu_b4_skeletons")["records_out"] == 25
    for name in ("fujitsu_b4_ds", "fujitsu_b4_dr"):
        fill = counts(run, "fill", name)
        assert fill["records_in"] == 25 == fill["records_out"] + fill["rejected"]
        assert fill["records_out"] >= 1
    for name in NAMES:
        render, lossmask = counts(run, "render", name), counts(run, "lossmask", name)
        assert render["records_in"] == render["records_out"] + render["rejected"]
        assert (
            render["records_out"]
            == lossmask["records_in"]
            == lossmask["records_out"] + lossmask["rejected"]
        )
    assert orjson.loads((run / "data/stats/summary.json").read_bytes())["conserved"] is True


def said(messages: list[dict[str, Any]], index: int) -> str:
    """What the model wrote in a turn, in the form of the project's Llama 3.1 template, spelled out
    without the renderer.
    """
    message = messages[index]
    calls = message.get("tool_calls", [])
    text = message["content"].lstrip()
    for call in calls:
        arguments = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        text += (
            f'<|python_tag|>{{"name": {json.dumps(call["function"]["name"], ensure_ascii=False)},'
            f' "parameters": {arguments}}}'
        )
    followed = index + 1 < len(messages) and messages[index + 1]["role"] == "tool"
    return text + ("<|eom_id|>" if calls and followed else "<|eot_id|>")


@pytest.mark.parametrize("name", NAMES)
def test_the_text_under_the_assistant_mask_is_what_the_model_said(run: Path, name: str) -> None:
    tokenizer = Tokenizer.from_file(str(run / "llama-3.1/tokenizer.json"))
    traces = {trace["id"]: trace for _, trace in read_records(run / f"data/traces/{name}.jsonl")}
    renders = {
        render["render_id"]: render
        for _, render in read_records(run / f"data/renders/{name}.jsonl")
    }
    rows = truncated = 0
    for _, row in read_records(run / f"data/lossmasks/{name}.jsonl"):
        render, trace = renders[row["render_id"]], traces[row["trace_id"]]
        messages, written = trace["messages"], trace["raw_metadata"].get("generation")
        assert row["policy_id"] == "assistant_only"
        assert set(row["loss_mask"]) <= {0, 1}
        assert row["labels"] == [
            token if weight else -100
            for token, weight in zip(render["input_ids"], row["loss_mask"], strict=True)
        ]
        trained_ids = [token for token in row["labels"] if token != -100]
        assert render["on_policy"] is (written is not None)
        if written is not None:  # what was completed here is trained as the engine returned it
            assert trained_ids == written["completion_token_ids"]
            rows += 1
            continue
        trained = tokenizer.decode(trained_ids, skip_special_tokens=False)
        expected = "".join(
            said(messages, index)
            for index, message in enumerate(messages)
            if message["role"] == "assistant"
        )
        if render["render_options"]["truncated"]:
            truncated += 1
            trained = trained.rstrip(
                "\ufffd"
            )  # the cut may fall inside a character of several tokens
            assert expected.startswith(trained)
        else:
            assert trained == expected
        rows += 1
    assert rows == counts(run, "lossmask", name)["records_out"] > truncated
