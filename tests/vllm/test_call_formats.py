"""Fill jobs with the real engine in two call formats, with the calls held to the format and not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.fill.outcome_watch import UNREAD
from cbdata.fill.row_file import read_rows
from tests.vllm.jobs import Jobs
from tests.workflow.random_llama import write_random_llama

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]


@pytest.fixture
def llama(shared_dir: Path, tmp_path: Path) -> Path:
    """A Llama with random weights and the real tokenizer."""
    return write_random_llama(shared_dir / "tokenizers/llama-3.1", tmp_path / "llama")


def completed(jobs: Jobs, **changes: Any) -> tuple[list[dict[str, Any]], str]:
    """The rows that went to the model, and the log, of one job on a few skeletons."""
    lines = jobs.skeletons.read_bytes().splitlines(keepends=True)
    jobs.skeletons.write_bytes(b"".join(lines[:8]))
    jobs = replace(jobs, settings=replace(jobs.settings, max_tokens=64, **changes), at_once=8)
    status, messages = jobs.finish(jobs.start())
    assert status == 0, messages
    job = jobs.job()
    rows = [dict(row) for _, row in read_rows(job.sets[0].output) if "outcomes" in row]
    assert len(rows) == 16
    return rows, Path(str(job.log)).read_text()


def check_spans(row: dict[str, Any]) -> None:
    """The spans of a trace lie where its calls are."""
    trace = row["trace"]
    hints, turn = trace["signal_hints"], trace["messages"][-1]
    text, spans = hints["raw_assistant_content"], hints["completion_spans"]
    assert "\n".join(text[start:end] for start, end in spans["content"]) == turn["content"]
    for call, span in zip(turn["tool_calls"], spans["calls"], strict=True):
        assert text[span["name_start"] : span["name_end"]] == call["function"]["name"]
        assert call["function"]["raw_content"] in text[span["start"] : span["end"]]


@pytest.mark.parametrize("name", ["hermes_json", "llama_json"])
def test_calls_that_are_held_to_the_format_are_read(
    name: str, jobs: Jobs, request: pytest.FixtureRequest
) -> None:
    changes: dict[str, Any] = {}
    if name == "llama_json":
        changes = {
            "model": str(request.getfixturevalue("llama")),
            "chat_template": "llama31_tools",
        }
    rows, log = completed(jobs, **changes)
    assert f"completions are read as {name}" in log
    ended = [row for row in rows if row.get("reason") != "truncated"]
    assert ended and not any(row["outcomes"][-1] in UNREAD for row in ended)
    traces = [row for row in rows if row["row"] == "trace"]
    assert traces
    for row in traces:
        check_spans(row)
        assert row["trace"]["raw_metadata"]["generation"]["call_format"] == name


@pytest.mark.parametrize("name", ["hermes_json", "llama_json"])
def test_what_a_model_writes_of_its_own_accord_is_kept_with_what_was_read(
    name: str, jobs: Jobs, request: pytest.FixtureRequest
) -> None:
    changes: dict[str, Any] = {}
    if name == "llama_json":
        changes = {
            "model": str(request.getfixturevalue("llama")),
            "chat_template": "llama31_tools",
        }
    rows, log = completed(jobs, constrain_tool_calls=False, **changes)
    assert f"completions are read as {name}" in log and "without a readable call" in log
    for row in rows:
        if row["row"] == "trace":
            check_spans(row)
            continue
        raw = orjson.loads(orjson.dumps(row["raw"]))
        assert raw["generation"]["call_format"] == name
        assert set(raw["completion_spans"]) == {"thinking", "content", "calls"}
