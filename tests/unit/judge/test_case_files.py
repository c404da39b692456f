"""The hand-made completions of `tests/data/judge_cases` are what their README says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "data" / "judge_cases"
SCHEMA = Path(__file__).parents[3] / "configs" / "tool_schemas" / "b4_standard_v1.json"
FORMATS = {
    "command_r",
    "deepseek_dsml",
    "deepseek_v3",
    "deepseek_v31",
    "function_gemma",
    "gemma4",
    "gemma_tool_code",
    "glm",
    "granite",
    "harmony",
    "hermes_json",
    "internlm2",
    "kimi_k2",
    "llama_function",
    "llama_json",
    "minimax_m1",
    "minimax_m2",
    "mistral_args",
    "mistral_list",
    "openai_json",
    "phi4",
    "pythonic",
    "qwen_xml",
    "react",
    "seed_oss",
    "solar",
}
NEEDED = {"id", "format", "text", "expected_tool", "simulated_tool", "human", "why"}
OPTIONAL = {"thinking_open", "finish_reason", "must_accept", "calls", "content", "thinking"}
# Families whose public templates have a reasoning block of their own.
REASONING_FORMATS = {
    "command_r",
    "deepseek_dsml",
    "deepseek_v3",
    "deepseek_v31",
    "gemma4",
    "glm",
    "harmony",
    "hermes_json",
    "kimi_k2",
    "minimax_m1",
    "minimax_m2",
    "mistral_args",
    "qwen_xml",
    "seed_oss",
    "solar",
}


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary of one JSON object and refuse a key that it holds twice."""
    result = dict(pairs)
    assert len(result) == len(pairs), f"a key twice: {[key for key, _ in pairs]}"
    return result


FILES = sorted(FOLDER.glob("*.jsonl"))
ROWS = [
    (file.stem, json.loads(line, object_pairs_hook=unique_keys))
    for file in FILES
    for line in file.read_text(encoding="utf-8").split("\n")
    if line
]
TOOLS = {tool["function"]["name"] for tool in json.loads(SCHEMA.read_text())["tools"]}


def test_there_are_enough_cases() -> None:
    """The judge is measured on at least 400 cases."""
    assert len(ROWS) >= 400


def test_every_theme_is_in_the_readme() -> None:
    """The README's table of themes names the files and no others."""
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = {line.split("`")[1] for line in readme.splitlines() if line.startswith("| `")}
    assert {name for name in named if name.endswith(".jsonl")} == {file.name for file in FILES}


def test_ids_are_unique() -> None:
    """An id names one case over all files."""
    counts = Counter(row["id"] for _, row in ROWS)
    assert [name for name, count in counts.items() if count > 1] == []


def test_no_completion_stands_twice_with_two_verdicts() -> None:
    """The same completion, judged in the same way, has one verdict."""
    verdicts: dict[str, set[str]] = {}
    for _, row in ROWS:
        asked = {key: row.get(key) for key in (*sorted(NEEDED), "thinking_open", "finish_reason")}
        for key in ("id", "human", "why"):
            del asked[key]
        verdicts.setdefault(json.dumps(asked), set()).add(json.dumps(row["human"]))
    assert [asked for asked, given in verdicts.items() if len(given) > 1] == []


@pytest.mark.parametrize("theme", [file.stem for file in FILES])
def test_rows_have_the_fields_of_the_readme(theme: str) -> None:
    """Fields, types, formats and tools of every row are known ones."""
    for row in (row for name, row in ROWS if name == theme):
        name = row["id"]
        assert set(row) >= NEEDED, name
        assert set(row) <= NEEDED | OPTIONAL, name
        assert row["format"] in FORMATS | {"any"}, name
        assert {row["expected_tool"], row["simulated_tool"]} <= TOOLS, name
        assert row["expected_tool"] != row["simulated_tool"], name
        assert set(row["human"]) == {"ds", "dr"}, name
        assert all(type(value) is bool for value in row["human"].values()), name
        assert not (row["human"]["ds"] and row["human"]["dr"]), name
        assert row.get("thinking_open", True) is True, name
        assert row.get("must_accept", True) is True, name
        assert row.get("finish_reason", "length") == "length", name
        assert row["why"].strip() and "\n" not in row["why"], name


def test_calls_agree_with_the_verdict() -> None:
    """Calls stand only where a mode takes the case, and are calls of that mode's tool alone."""
    for _, row in ROWS:
        accepted = [mode for mode in ("ds", "dr") if row["human"][mode]]
        if row.get("must_accept"):
            assert len(accepted) == 1 and row["calls"], row["id"]
        if "calls" not in row:
            assert not {"content", "thinking"} & set(row), row["id"]
            continue
        assert accepted, row["id"]
        tool = row["simulated_tool"] if accepted == ["ds"] else row["expected_tool"]
        assert row["calls"] and {call["name"] for call in row["calls"]} == {tool}, row["id"]
        assert all(set(call) == {"name", "arguments"} for call in row["calls"]), row["id"]
        assert all(isinstance(call["arguments"], dict) for call in row["calls"]), row["id"]


def test_content_and_thinking_are_part_of_the_text() -> None:
    """What must be kept as prose or reasoning is spelled so in the completion, and stripped."""
    for _, row in ROWS:
        for key in ("content", "thinking"):
            value = row.get(key, "")
            assert value in row["text"] and value == value.strip(), row["id"]


def test_cases_that_name_no_format_or_were_cut_off_need_not_be_accepted() -> None:
    """Whether `any` accepts depends on the formats that are registered; a cut answer is none."""
    for _, row in ROWS:
        if row["format"] == "any" or row.get("finish_reason") == "length":
            assert row["human"] == {"ds": False, "dr": False}, row["id"]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_covered(name: str) -> None:
    """Every format has calls that must be accepted in both modes, and traps."""
    rows = [(theme, row) for theme, row in ROWS if row["format"] == name]
    wanted = [row for _, row in rows if row.get("must_accept")]
    assert {mode for row in wanted for mode in ("ds", "dr") if row["human"][mode]} == {"ds", "dr"}
    themes = {theme for theme, row in rows if not any(row["human"].values())}
    assert themes >= {
        "refusals_and_quotes",
        "second_call_hidden",
        "foreign_notation",
        "near_misses",
    }
    if name in REASONING_FORMATS:
        assert any(row.get("thinking") for row in wanted)
