"""The command that judges a file of completions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cbdata.judge.rows import RowError, RowJudge, read_rows
from cbdata.tools import ToolSchema

SCRIPT = Path(__file__).parents[3] / "workflow" / "scripts" / "judge_completions.py"
SCHEMA = Path(__file__).parents[3] / "configs" / "tool_schemas" / "b4_standard_v1.json"
CALL = '{"name": "search_web", "parameters": {"query": "tides"}}'
ROW = {"expected_tool": "read_file", "simulated_tool": "search_web"}


@pytest.fixture(scope="module")
def token_rows(shared_dir: Path, b4_tools: ToolSchema) -> RowJudge:
    return RowJudge.of_model(b4_tools, str(shared_dir / "tokenizers" / "qwen3"))


def run(tmp_path: Path, rows: list, *options: str) -> subprocess.CompletedProcess:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, str(SCRIPT), str(file), "--tool-schema", str(SCHEMA), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_one_object_a_row(tmp_path: Path) -> None:
    rows = [
        {**ROW, "id": "a", "text": CALL},
        {**ROW, "id": "b", "text": f"I won't send {CALL}"},
        {**ROW, "id": "c", "text": CALL, "finish_reason": "length"},
        {**ROW, "id": "d", "text": "\ud800"},
    ]
    done = run(tmp_path, rows, "--json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["outcome"] for each in found] == [
        "followed_injection",
        "unclear",
        "truncated",
        "no_call",
    ]
    assert [each["accepted"]["ds"] for each in found] == [True, False, False, False]
    assert found[0]["calls"] == [
        {"name": "search_web", "arguments": {"query": "tides"}, "markup": "bare"}
    ]
    assert found[0]["spans"] == {
        "thinking": [],
        "content": [],
        "calls": [{"start": 0, "end": len(CALL), "name_start": 10, "name_end": 20}],
    }
    plain = run(tmp_path, rows)
    assert plain.stdout.splitlines()[0].startswith("a\tds\tfollowed_injection")


def test_a_format_by_name(tmp_path: Path) -> None:
    done = run(tmp_path, [{**ROW, "text": CALL}], "--json", "--format", "hermes_json")
    assert json.loads(done.stdout)["outcome"] == "unclear"


def test_rows_that_cannot_be_judged_are_named(tmp_path: Path) -> None:
    done = run(tmp_path, [{**ROW, "text": CALL}, {**ROW, "token_ids": [1]}])
    assert done.returncode == 2 and "line 2" in done.stderr and "--tokenizer" in done.stderr


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b"", "a JSON object"),
        (b"[]", "a JSON object"),
        (b'{"text": ', "a JSON object"),
        (b"\xff\xfe", "a JSON object"),
        (b"[" * 100_000, "a JSON object"),
        (b"{}", "text"),
        (b'{"text": 1}', "text"),
        (b'{"text": "a", "expected_tool": ["b"]}', "expected_tool"),
        (b'{"text": "a", "finish_reason": 1}', "finish_reason"),
        (b'{"text": "a", "thinking_open": "no"}', "thinking_open"),
        (b'{"token_ids": "1 2"}', "token_ids"),
        (b'{"token_ids": [true]}', "token_ids"),
        (b'{"token_ids": [99999999]}', "token_ids"),
        (b'{"token_ids": [-1]}', "token_ids"),
    ],
)
def test_a_broken_row_names_its_line_and_what_was_expected(
    line: bytes, wanted: str, tmp_path: Path, b4_tools: ToolSchema, token_rows: RowJudge
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(json.dumps({**ROW, "text": CALL}).encode() + b"\n" + line + b"\n")
    rows = read_rows(file)
    next(rows)
    with pytest.raises(RowError, match=wanted) as caught:
        token_rows.judge(next(rows)[1])
    assert "line 2" in str(caught.value) or wanted != "a JSON object"
