"""AgentDojo's real calls, printed in every notation, are read back exactly."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cbdata.call_formats.base import Reading
from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import FORMATS
from cbdata.ids import canonical_json
from cbdata.judge.judgement import argument_errors
from cbdata.render.template import ChatTemplate
from cbdata.tools import ToolSchema, load_tool_schema

Turn = list[tuple[str, dict[str, Any]]]

CALLS = 5613
BY_SCHEMA = {"glm", "minimax_m2", "qwen_xml", "seed_oss"}
"""Notations that write arguments as bare text: only the schema tells "null" from null."""


@cache
def tools_of(repo: Path) -> ToolSchema:
    """The tools of AgentDojo's four suites; those that two suites share are equal."""
    files = sorted((repo / "configs" / "tool_schemas").glob("agentdojo_*_v1.json"))
    named = {
        tool["function"]["name"]: tool for file in files for tool in load_tool_schema(file).tools
    }
    return ToolSchema("agentdojo", tuple(named.values()), None, "0", "agentdojo")


@cache
def real_turns(shared: Path) -> list[Turn]:
    """Every turn with calls in the transcripts of eight pipelines."""
    return [
        [(call["function"]["name"], call["function"]["arguments"]) for call in each["tool_calls"]]
        for file in sorted((shared / "data" / "agentdojo").glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
        for each in json.loads(line).get("messages", [])
        if each.get("tool_calls")
    ]


def read(name: str, text: str, tools: ToolSchema) -> Reading:
    view, _ = Completion.spelled(text).view(FORMATS[name])
    assert len(view.text.rstrip()) == len(text.rstrip())
    return FORMATS[name].read(view, tools)


def difference(name: str, turn: Turn, text: str, tools: ToolSchema) -> str | None:
    """What was lost or changed; a reject is no loss where the notation has no types of its own."""
    reading = read(name, text, tools)
    if reading.fault:
        excused = "may be a string or", "is not array", "unknown to the schema"
        if name in BY_SCHEMA and any(words in reading.fault.reason for words in excused):
            return "rejected"
        return f"{turn}: {reading.fault.reason}"
    found = [(call.name, call.arguments) for call in reading.calls]
    if canonical_json(found) == canonical_json(turn) and not reading.prose:
        return None
    return f"{turn}: {found}, {reading.prose}"


def misfits(turn: Turn, tools: ToolSchema) -> bool:
    """Whether the call breaks its schema, so that the schema cannot tell what was written."""
    view, _ = Completion.spelled(FORMATS["openai_json"].write(turn)).view(FORMATS["openai_json"])
    return bool(argument_errors(FORMATS["openai_json"].read(view, tools).calls, tools))


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_real_call_is_read_back(name: str, shared_dir: Path, repo: Path) -> None:
    tools, turns = tools_of(repo), real_turns(shared_dir)
    assert sum(map(len, turns)) == CALLS
    found = {
        number: said
        for number, turn in enumerate(turns)
        if (said := difference(name, turn, FORMATS[name].write(turn), tools))
    }
    wrong = [said for said in found.values() if said != "rejected"]
    if name not in BY_SCHEMA:
        assert found == {}
        return
    # 79 turns: null where the schema allows text, too, or an argument that breaks the schema. Five
    # more have null where the schema says string: read as text, which no reader could know better.
    assert len(found) - len(wrong) == 79
    assert len(wrong) == 5
    assert all(misfits(turns[at], tools) for at, said in found.items() if said != "rejected")


def test_glm_s_own_template_prints_what_glm_reads(shared_dir: Path, repo: Path) -> None:
    spec = importlib.util.find_spec("trl")
    if spec is None or spec.origin is None:
        pytest.skip("trl is not installed; it is only a collection of chat templates here")
    file = Path(spec.origin).parent / "chat_templates" / "glm4moe.jinja"
    template = ChatTemplate(file.read_text(encoding="utf-8"), "glm4moe", {}, "26 Jul 2024")
    tools = tools_of(repo)
    for turn in real_turns(shared_dir)[::5]:
        messages = [
            {"role": "user", "content": "Go on."},
            {
                "role": "assistant",
                "content": "One moment.",
                "tool_calls": [
                    {"call_id": "c", "function": {"name": name, "arguments": arguments}}
                    for name, arguments in turn
                ],
            },
        ]
        printed = template.render(messages, None)[0].partition("<|assistant|>")[2]
        reading = read("glm", printed, tools)
        if misfits(turn, tools) or (reading.fault and "may be a string" in reading.fault.reason):
            continue
        found = [(call.name, call.arguments) for call in reading.calls]
        assert canonical_json(found) == canonical_json(turn)
        assert [printed[start:end] for start, end in reading.prose] == ["One moment."]
        assert [printed[each.start : each.end] for each in reading.thinking] == ["<think></think>"]
