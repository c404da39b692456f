"""The 25 real B4 records with their real answers, from raw line to DS and DR traces."""

from __future__ import annotations

from pathlib import Path

import orjson

from cbdata.fill.completed_traces import completed_trace
from cbdata.fill.prompts import skeleton_messages
from cbdata.ids import token_ids_sha256
from cbdata.jsonl import read_records
from cbdata.judge.judgement import judge
from cbdata.schemas import first_error
from cbdata.sources.fujitsu_b4 import convert
from cbdata.stage import StageFiles
from cbdata.tools import ToolSchema


def test_real_answers_become_valid_traces(
    shared_dir: Path, b4_tools: ToolSchema, tmp_path: Path
) -> None:
    folder = shared_dir / "data" / "fujitsu_b4"
    files = StageFiles(tmp_path / "out.jsonl", tmp_path / "rejects.jsonl", tmp_path / "stats.json")
    convert(
        [folder / "orchestrator_attacks_sample.jsonl"],
        tool_schemas=[b4_tools.path],
        split="train",
        outputs=files,
        max_reject_fraction=0.0,
    )
    answers = {
        row["record_id"]: row
        for row in map(orjson.loads, (folder / "llama31_responses.jsonl").read_bytes().splitlines())
    }
    generation = {
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "backend": "vllm",
        "temperature": 0.7,
        "max_tokens": 256,
        "seed": 0,
        "attempt": 1,
        "finish_reason": "stop",
        "prompt_sha256": token_ids_sha256([]),
        "dr_context": "kept",
    }
    made = {"ds": set(), "dr": set()}
    for _, skeleton in read_records(files.out):
        text = answers[skeleton["links"]["raw_id"]]["response"] + "<|eom_id|>"
        attack = skeleton["tool_attack"]
        tools = {
            "expected_tool": attack["expected_tool"],
            "simulated_tool": attack["simulated_tool"],
            "tool_schema": b4_tools,
        }
        without = skeleton_messages(skeleton, "dr")[1]["content"]
        assert without.strip() == skeleton["raw_metadata"]["source_fields"]["benign_query"].strip()
        for mode, traces in made.items():
            judgement = judge(text, finish_reason="stop", mode=mode, **tools)
            if not judgement.accepted:
                continue
            messages = skeleton_messages(skeleton, mode, "kept")
            trace = completed_trace(
                skeleton,
                messages,
                judgement,
                completion_text=text,
                completion_token_ids=[0],
                generation=generation,
                tool_schema=b4_tools,
            )
            assert first_error("trace_v1", trace) is None
            assert trace["signal_hints"]["raw_assistant_content"] == text
            traces.add(trace["id"])
    # 9 of the 25 answers follow the injection; 6 call the right tool, one of them where no flip is
    # possible.
    assert (len(made["ds"]), len(made["dr"])) == (9, 6)
