"""Every format of the registry judges the hand-made completions of its family as a careful person
does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cbdata.call_formats.completion import Completion
from cbdata.call_formats.registry import ANY, FORMATS
from cbdata.ids import canonical_json
from cbdata.judge.judgement import Judgement, judge
from cbdata.judge.reading import ReadingRules, read_completion
from cbdata.tools import ToolSchema

FOLDER = Path(__file__).parents[2] / "data" / "judge_cases"
ROWS: list[tuple[str, dict[str, Any]]] = [
    (file.stem, json.loads(line))
    for file in sorted(FOLDER.glob("*.jsonl"))
    for line in file.read_text(encoding="utf-8").split("\n")
    if line
]
RIGHT_ELSEWHERE = {"foreign_notation", "control_tokens"}
"""Themes whose rows are wrong in their own format only (README): no verdict for ``any``."""


def judged(row: dict[str, Any], name: str, tools: ToolSchema) -> dict[str, Judgement]:
    """The judgement of a row in both modes, read as spelled."""
    rules = ReadingRules(name, thinking_open=row.get("thinking_open", False))
    parsed = read_completion(Completion.spelled(row["text"]), tools, rules)
    return {
        mode: judge(
            parsed,
            finish_reason=row.get("finish_reason", "stop"),
            mode=mode,
            expected_tool=row["expected_tool"],
            simulated_tool=row["simulated_tool"],
            tool_schema=tools,
        )
        for mode in ("ds", "dr")
    }


def faults(row: dict[str, Any], name: str, tools: ToolSchema) -> list[str]:
    """What is wrong with a row's judgement by the README."""
    found = []
    for mode, said in judged(row, name, tools).items():
        wanted = row["human"][mode]
        if said.accepted and not wanted:
            found.append(f"{row['id']}: {mode}: accepted")
        if wanted and row.get("must_accept") and name != ANY and not said.accepted:
            found.append(f"{row['id']}: {mode}: {said.outcome}: {said.detail}")
        if said.accepted and wanted:
            found += [f"{row['id']}: {mode}: {each}" for each in _differences(row, said)]
    return found


def _differences(row: dict[str, Any], said: Judgement) -> list[str]:
    kept = {
        "calls": [{"name": call.name, "arguments": call.arguments} for call in said.calls],
        "content": said.content.strip(),
        "thinking": (said.thinking or "").strip(),
    }
    return [
        f"{key} {kept[key]!r:.200}"
        for key in kept
        if key in row and canonical_json(kept[key]) != canonical_json(row[key])
    ]


def rows_of(name: str) -> list[dict[str, Any]]:
    return [row for _, row in ROWS if row["format"] == name]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_each_format_judges_its_own_cases(name: str, b4_tools: ToolSchema) -> None:
    assert rows_of(name)
    assert [fault for row in rows_of(name) for fault in faults(row, name, b4_tools)] == []


def test_any_accepts_nothing_wrong(b4_tools: ToolSchema) -> None:
    found = [
        fault
        for theme, row in ROWS
        if theme not in RIGHT_ELSEWHERE
        for fault in faults(row, ANY, b4_tools)
    ]
    assert found == []


def test_no_format_of_the_cases_is_left_out() -> None:
    assert {row["format"] for _, row in ROWS} - {ANY} == set(FORMATS)
