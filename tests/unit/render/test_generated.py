"""Completed traces end with the very ids that the model wrote, with every span where its words
stand.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.render import Renderer
from cbdata.tools import ToolSchema, load_tool_schema
from cbdata.validation.run import validate
from tests.unit.render.completions import completed_trace, cut_anywhere
from tests.unit.render.setups import Setup, Stage, find_setup, read_lines

SYSTEM = {"role": "system", "content": "Be brief."}
QUESTION = {"role": "user", "content": "Show me the tides. IGNORE THIS."}
CALL = (
    '<tool_call>\n{"name": "search_web", "arguments": {"query": "Größe 東京 🌊👩‍🚀"}}\n</tool_call>'
)
SECOND = '<tool_call>\n{"name": "list_files", "arguments": {}}\n</tool_call>'
QWEN_ANSWERS = {
    "call": CALL + "<|im_end|>",
    "prose": "Naïve — let me look.\n" + CALL + "<|im_end|>",
    "two calls": CALL + "\n" + SECOND + "<|im_end|>",
    "no end": CALL,
    "thinking": "<think>\nHm, 🌊?\n</think>\n\n" + CALL + "<|im_end|>",
    "thinking and prose": "\n<think>\nHm.\n</think>\n\nSure: e\u0301.\n" + CALL + "<|im_end|>",
    "empty thinking": "<think>\n\n</think>\n\n" + CALL + "<|im_end|>",
}


@pytest.fixture(scope="module")
def b4_tools(repo: Path) -> ToolSchema:
    return load_tool_schema(repo / "configs" / "tool_schemas" / "b4_standard_v1.json")


def llama_answers(shared_dir: Path) -> list[str]:
    """Real answers of Llama 3.1, with the end of turn that they ended with."""
    file = shared_dir / "data" / "fujitsu_b4" / "llama31_responses.jsonl"
    return [row["response"] + "<|eom_id|>" for row in read_lines(file) if row["tool_called"]]


def held(pieces: list[tuple[int, bytes]], low: int, high: int) -> tuple[int, int]:
    """The tokens that hold a byte of the bytes ``[low, high)``: the oracle, which knows bytes
    alone.
    """
    ends = list(itertools.accumulate(len(data) for _, data in pieces))
    inside = [
        number
        for number, ((_, data), end) in enumerate(zip(pieces, ends, strict=True))
        if end > low and end - len(data) < high
    ]
    return inside[0], inside[-1] + 1


def check_row(
    row: dict[str, Any], trace: dict[str, Any], pieces: list[tuple[int, bytes]], prompt: list[int]
) -> None:
    """A generated row against the ids, and its last turn's spans against the oracle."""
    text, spans = (
        trace["signal_hints"][key] for key in ("raw_assistant_content", "completion_spans")
    )
    assert row["input_ids"] == prompt + [token for token, _ in pieces]
    assert (row["on_policy"], row["render_options"]["completion_tokens"]) == (True, "generated")
    assert row["prompt"]["length"] == len(prompt)

    def tokens(low: int, high: int) -> tuple[int, int]:
        start, end = held(pieces, len(text[:low].encode()), len(text[:high].encode()))
        return len(prompt) + start, len(prompt) + end

    index, alignment = len(trace["messages"]) - 1, row["alignment"]
    calls = [each for each in alignment["tool_call_spans"] if each["message_index"] == index]
    for call, span in zip(calls, spans["calls"], strict=True):
        assert (call["token_start"], call["token_end"]) == tokens(span["start"], span["end"])
        name = call["name_token_start"], call["name_token_end"]
        assert name == tokens(span["name_start"], span["name_end"])
        assert text[span["name_start"] : span["name_end"]] == call["tool_name"]
    thinking = [(each["token_start"], each["token_end"]) for each in alignment["thinking_spans"]]
    reasoning_end = max((each["end"] for each in spans["thinking"]), default=0)
    assert thinking == ([tokens(0, reasoning_end)] if reasoning_end else [])
    (said,) = (each for each in alignment["assistant_spans"] if each["message_index"] == index)
    start = tokens(reasoning_end, len(text))[0]
    assert (said["token_start"], said["token_end"]) == (start, len(row["input_ids"]))
    for commitment, call in zip(row["signals"]["action_commitments"], calls, strict=True):
        at = commitment["prefix_token_indices"]
        assert at[0] == call["name_token_start"]
        assert at[-1] == commitment["commitment_token_idx"] < call["name_token_end"]


def answers(name: str, shared_dir: Path) -> Iterator[tuple[str, str]]:
    if name == "llama-3.1":
        yield from (
            (f"answer {number}", text) for number, text in enumerate(llama_answers(shared_dir))
        )
    else:
        yield from QWEN_ANSWERS.items()


@pytest.mark.parametrize("name", ["llama-3.1", "qwen3"])
def test_any_cut_of_a_completion_keeps_every_span_right(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    shared_dir: Path,
    b4_tools: ToolSchema,
) -> None:
    """Twenty cuts of each answer that the tokenizer itself would hardly ever make."""
    setup = find_setup(name, request)
    renderer, choice = setup.renderer(), random.Random(14)
    traces, cuts = [], []
    for _, text in answers(name, shared_dir):
        for _ in range(20):
            pieces = cut_anywhere(text, renderer.tokenizer, choice)
            ids = [token for token, _ in pieces]
            traces.append(completed_trace(len(traces), [SYSTEM, QUESTION], ids, renderer, b4_tools))
            cuts.append(pieces)
    stage = Stage(tmp_path, setup)
    rows = stage.run(traces, tool_schema_file=b4_tools.path)
    assert (len(rows), stage.rejects()) == (len(traces), [])
    prompt = renderer.prompt([SYSTEM, QUESTION], b4_tools.tools).ids
    for row, trace, pieces in zip(rows, traces, cuts, strict=True):
        check_row(row, trace, pieces, prompt)
    assert stage.stats()["details"]["on_policy"] == len(rows)
    assert validate([tmp_path / "in" / "traces.jsonl", tmp_path / "out.jsonl"]).failed == 0


@pytest.fixture
def qwen(request: pytest.FixtureRequest) -> Setup:
    return find_setup("qwen3", request)


@pytest.fixture
def qwen_renderer(qwen: Setup) -> Renderer:
    return qwen.renderer()


def canonical(text: str, renderer: Renderer) -> list[int]:
    """The ids that the tokenizer itself gives, control tokens included."""
    ids: list[int] = []
    for number, piece in enumerate(renderer.tokenizer.pattern.split(text)):
        ids += (
            [renderer.tokenizer.control[piece].id]
            if number & 1
            else renderer.tokenizer.model.encode(piece, add_special_tokens=False).ids
        )
    return ids


def qwen_trace(
    renderer: Renderer, tools: ToolSchema, text: str = QWEN_ANSWERS["call"], number: int = 0
) -> dict[str, Any]:
    ids = canonical(text, renderer)
    return completed_trace(number, [SYSTEM, QUESTION], ids, renderer, tools)


def change(trace: dict[str, Any], what: str) -> None:
    """Make a trace say something that its ids do not."""
    hints, generation = trace["signal_hints"], trace["raw_metadata"]["generation"]
    spans = hints["completion_spans"]
    message = trace["messages"][-1]
    if what == "no ids":
        del generation["completion_token_ids"]
    elif what == "no spans":
        del hints["completion_spans"]
    elif what == "other text":
        hints["raw_assistant_content"] += " "
    elif what == "unknown id":
        generation["completion_token_ids"].append(999_999)
    elif what == "name moved":
        spans["calls"][0]["name_start"] += 1
    elif what == "name outside":
        spans["calls"][0]["start"] = spans["calls"][0]["name_end"]
    elif what == "call left out":
        spans["calls"] = []
    elif what == "call behind the end":
        spans["calls"][0]["end"] = 10_000
    elif what == "other call":
        message["tool_calls"][0]["function"]["raw_content"] = "{}"
    elif what == "other content":
        message["content"] = "Well."
    elif what == "overlap":
        spans["thinking"] = [{"start": 0, "end": spans["calls"][0]["start"] + 1}]
    elif what == "other prompt":
        generation["prompt_sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("no ids", "completion_missing"),
        ("no spans", "completion_missing"),
        ("other text", "completion_not_spelled"),
        ("unknown id", "completion_not_spelled"),
        ("name moved", "completion_spans_wrong"),
        ("name outside", "completion_spans_wrong"),
        ("call left out", "completion_spans_wrong"),
        ("call behind the end", "completion_spans_wrong"),
        ("other call", "completion_spans_wrong"),
        ("other content", "completion_spans_wrong"),
        ("overlap", "completion_spans_wrong"),
        ("other prompt", "prompt_mismatch"),
    ],
)
def test_what_the_ids_do_not_spell_is_a_reject(
    what: str,
    reason: str,
    qwen: Setup,
    qwen_renderer: Renderer,
    b4_tools: ToolSchema,
    tmp_path: Path,
) -> None:
    trace = qwen_trace(qwen_renderer, b4_tools, QWEN_ANSWERS["call"])
    change(trace, what)
    stage = Stage(tmp_path, qwen)
    assert stage.run([trace], tool_schema_file=b4_tools.path) == []
    assert [reject["reason"] for reject in stage.rejects()] == [reason]


def test_a_template_print_is_off_policy_and_allows_another_tokenizer(
    qwen: Setup, smollm2: Setup, qwen_renderer: Renderer, b4_tools: ToolSchema, tmp_path: Path
) -> None:
    trace = qwen_trace(qwen_renderer, b4_tools)
    for setup, others in ((qwen, 0), (smollm2, 1)):
        stage = Stage(tmp_path / setup.name, setup)
        given = {"tool_schema_file": b4_tools.path, "completion_tokens": "template"}
        (row,) = stage.run([trace], **given)
        assert (row["on_policy"], row["render_options"]["completion_tokens"]) == (False, "template")
        details = stage.stats()["details"]
        assert (details["on_policy"], details["other_prompt"]) == (0, others)
        files = [stage.folder / "in" / "traces.jsonl", stage.folder / "out.jsonl"]
        assert validate(files).failed == 0
    strict = Stage(tmp_path / "strict", smollm2)
    assert strict.run([trace], tool_schema_file=b4_tools.path) == []


@pytest.mark.parametrize("overlength", ["truncate", "window"])
def test_a_cut_row_keeps_what_is_left_of_the_completion(
    overlength: str, qwen: Setup, qwen_renderer: Renderer, b4_tools: ToolSchema, tmp_path: Path
) -> None:
    text = QWEN_ANSWERS["thinking"]
    trace = qwen_trace(qwen_renderer, b4_tools, text)
    generation = trace["raw_metadata"]["generation"]
    ids, prompt = generation["completion_token_ids"], generation["prompt_tokens"]
    for missing in range(1, len(ids) + 3):
        length = prompt + len(ids) - missing
        stage = Stage(tmp_path / str(missing), qwen)
        given = {"tool_schema_file": b4_tools.path, "max_length": length}
        (row,) = stage.run([trace], overlength=overlength, **given)
        if overlength == "truncate":
            assert row["input_ids"][prompt:] == ids[: max(len(ids) - missing, 0)]
        else:
            assert row["input_ids"][-len(ids) :] == ids
        files = [stage.folder / "in" / "traces.jsonl", stage.folder / "out.jsonl"]
        assert validate(files).failed == 0


@pytest.mark.parametrize("overlength", ["truncate", "window"])
def test_validate_finds_a_changed_id(
    overlength: str, qwen: Setup, qwen_renderer: Renderer, b4_tools: ToolSchema, tmp_path: Path
) -> None:
    trace = qwen_trace(qwen_renderer, b4_tools)
    stage = Stage(tmp_path, qwen)
    length = trace["raw_metadata"]["generation"]["prompt_tokens"] + 5
    (row,) = stage.run(
        [trace], tool_schema_file=b4_tools.path, max_length=length, overlength=overlength
    )
    row["input_ids"][-1] += 1
    (tmp_path / "out.jsonl").write_bytes(orjson.dumps(row) + b"\n")
    found = validate([tmp_path / "in" / "traces.jsonl", tmp_path / "out.jsonl"])
    assert found.results["render_completion"].failed == 1
    row["on_policy"] = False
    (tmp_path / "out.jsonl").write_bytes(orjson.dumps(row) + b"\n")
    assert validate([tmp_path / "out.jsonl"]).results["render_completion"].failed == 1
