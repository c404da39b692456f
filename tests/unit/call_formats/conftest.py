"""AgentDojo's real calls and tools, read once."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from cbdata.tools import ToolSchema, load_tool_schema
from tests.unit.call_formats.given_calls import Calls


@pytest.fixture(scope="session")
def agentdojo_tools(repo: Path) -> ToolSchema:
    """The tools of AgentDojo's four suites; those that two suites share are equal."""
    files = sorted((repo / "configs" / "tool_schemas").glob("agentdojo_*_v1.json"))
    named = {
        tool["function"]["name"]: tool for file in files for tool in load_tool_schema(file).tools
    }
    return ToolSchema("agentdojo", tuple(named.values()), None, "0", "agentdojo")


@pytest.fixture(scope="session")
def real_turns(shared_dir: Path) -> list[Calls]:
    """The distinct turns with calls in the transcripts of eight pipelines, which have 5,613 calls
    in 4,679 turns.
    """
    turns = [
        [(call["function"]["name"], call["function"]["arguments"]) for call in each["tool_calls"]]
        for file in sorted((shared_dir / "data" / "agentdojo").glob("*.jsonl"))
        for line in file.read_bytes().splitlines()
        for each in orjson.loads(line).get("messages", [])
        if each.get("tool_calls")
    ]
    assert (len(turns), sum(map(len, turns))) == (4_679, 5_613)
    return list({orjson.dumps(turn): turn for turn in turns}.values())
