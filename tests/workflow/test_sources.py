"""Every source that a configuration names, through the real workflow: traces, tools in the renders,
splits, caps, and the checks of validate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.sources.test_agentdyn import tree
from tests.unit.sources.test_conversations import openai, sharegpt
from tests.unit.sources.test_injecagent import TOOLS, case
from tests.unit.sources.test_nemotron_ipi import row
from tests.workflow.command import Snakemake

pytestmark = pytest.mark.workflow


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(value) + b"\n")
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_every_source_is_loaded_rendered_with_its_own_tools_and_validated(
    snakemake: Snakemake, tmp_path: Path, demo_model: Path
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    for name, record in tree({"gpt-x": "gpt-x", "gpt-x-drift": "gpt-x"}).items():
        write(raw / "runs" / name, record)
    write(raw / "inject/tools.json", TOOLS)
    write(raw / "inject/test_cases_dh_base.json", [case()])
    write(raw / "nemotron.jsonl", row())
    chats = [openai(), openai("Weather in Bonn?"), sharegpt(("human", "Hi."), ("gpt", "Hello."))]
    write(raw / "chats.json", [*chats, {"messages": []}])
    config = {
        "fujitsu_b4_path": None,
        "agentdyn_path": str(raw / "runs"),
        "injecagent_path": str(raw / "inject"),
        "nemotron_ipi_path": str(raw / "nemotron.jsonl"),
        "conversations_path": str(raw / "chats.json"),
        "output_base": str(out),
        "log_dir": str(tmp_path / "logs"),
        "tokenizer": str(demo_model),
        "split": {"train": 0.5, "eval": 0.5},
        "split_by": "both",
        "class_caps": {"conversations/tool_use": 2},
        "allow_skeleton": True,
        "input_traces": ["agentdyn_complete", "conversations_complete", "injecagent_skeletons"],
    }
    settings = write(tmp_path / "config.json", config)
    targets = ("load", "lossmask", "validate")
    snakemake(*targets, "--profile", "profiles/local", "--configfile", settings)
    counts = {
        path.stem: orjson.loads(path.read_bytes())["counts"]
        for path in (out / "stats/etl_a").glob("*.json")
    }
    assert {name: each["records_in"] for name, each in counts.items()} == {
        "agentdyn_complete": 24,
        "conversations_complete": 4,
        "injecagent_skeletons": 1,
        "nemotron_ipi_skeletons": 1,
    }
    assert counts["conversations_complete"]["records_out"] == 2
    assert counts["conversations_complete"]["not_selected"] == 1
    (skeleton,) = rows(out / "traces/injecagent_skeletons.jsonl")
    assert skeleton["split"] == "eval"
    (render,) = rows(out / "renders/injecagent_skeletons.jsonl")
    assert render["render_options"]["tools_included"]
    traces = {trace["id"]: trace for trace in rows(out / "traces/conversations_complete.jsonl")}
    for render in rows(out / "renders/conversations_complete.jsonl"):
        tools = render["render_options"]["tools_included"]
        assert tools == ("tools" in traces[render["trace_id"]])
    for render in rows(out / "renders/agentdyn_complete.jsonl"):
        assert not render["render_options"]["tools_included"]
    assert "PASSED" in (out / "validation/validation.txt").read_text(encoding="utf-8")
