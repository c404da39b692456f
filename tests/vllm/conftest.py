"""The demo's skeletons for fill jobs with the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.jsonl import dumps, read_records
from cbdata.sources.fujitsu_b4 import convert
from cbdata.stage import StageFiles
from cbdata.tools import load_tool_schema
from tests.fill_settings import fill_settings
from tests.vllm.jobs import REPO, TOOLS, Jobs


@pytest.fixture
def jobs(tmp_path: Path, demo_model: Path) -> Jobs:
    """The demo's skeletons that can have both completions, calls held to the tool schema."""
    tools = load_tool_schema(TOOLS)
    whole = tmp_path / "whole.jsonl"
    convert(
        [REPO / "config/demo/fujitsu_b4.jsonl"],
        tool_schemas=[tools.path],
        split="train",
        outputs=StageFiles.of(whole, tmp_path / "r.jsonl", tmp_path / "s.json"),
        max_reject_fraction=0.5,
    )
    skeletons = tmp_path / "fujitsu_b4_skeletons.jsonl"
    usable = [
        record
        for _, record in read_records(whole)
        if record["tool_attack"]["simulated_tool"] != record["tool_attack"]["expected_tool"]
    ]
    skeletons.write_bytes(b"".join(map(dumps, usable)))
    settings = fill_settings(
        model=str(demo_model), constrain_tool_calls=True, max_tokens=32, temperature_dr=0.7, seed=1
    )
    return Jobs(tmp_path, skeletons, settings)
