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

from cbdata.judge.reading import ReadingRules
from cbdata.lossmask.masks import factors_of, make_mask
from cbdata.lossmask.registry import load_registry
from cbdata.render.renderer import Renderer
from cbdata.render.settings import TokenizerError
from cbdata.tools import ToolSchema, load_tool_schema
from cbdata.validation.run import validate
from tests.conversations import build_trace
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
    "thinking and prose": "\n<think>\nHm, e\u0301.\n</think>\n\nSure.\n" + CALL + "<|im_end|>",
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
    reasoning_end = max((end for _, end in spans["thinking"]), default=0)
    assert thinking == ([tokens(0, reasoning_end)] if reasoning_end else [])
    (said,) = (each for each in alignment["assistant_spans"] if each["message_index"] == index)
    start = tokens(reasoning_end, len(text))[0]
    assert (said["token_start"], said["token_end"]) == (start, len(row["input_ids"]))
    for commitment, call in zip(row["signals"]["action_commitments"], calls, strict=True):
        at = commitment["prefix_token_indices"]
        assert at[0] == call["name_token_start"]
        assert at[-1] == commitment["commitment_token_idx"] < call["name_token_end"]


def answers_of(name: str, shared_dir: Path) -> Iterator[tuple[str, str]]:
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
    for _, text in answers_of(name, shared_dir):
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
        spans["thinking"] = [[0, spans["calls"][0]["start"] + 1]]
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
    opening = ids.index(qwen_renderer.tokenizer.control["<tool_call>"].id) + 1
    opened = qwen_renderer.tokenizer.control["<|im_start|>"].id
    # Where the second turn starts: everything before is kept by a window.
    head = qwen_renderer.prompt([SYSTEM, QUESTION], b4_tools.tools).ids.index(opened, 1)
    # The last token, a call before its name, reasoning, all, and a part of the prompt.
    for missing in (1, len(ids) - opening, len(ids) - 3, len(ids), len(ids) + 2):
        length = prompt + len(ids) - missing
        stage = Stage(tmp_path / str(missing), qwen)
        given = {"tool_schema_file": b4_tools.path, "max_length": length}
        (row,) = stage.run([trace], overlength=overlength, **given)
        if overlength == "truncate":
            assert row["input_ids"][prompt:] == ids[: max(len(ids) - missing, 0)]
        else:
            room = min(len(ids), length - head)
            assert row["input_ids"][-room:] == ids[-room:]
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


THINK_OPEN = "think_open_in_prompt.jinja"


def thinking_row(
    setup: Setup, tools: ToolSchema, folder: Path, text: str, **settings: Any
) -> tuple[Renderer, dict[str, Any]]:
    """The generated row of a completion, with its renderer."""
    renderer = setup.renderer(**settings)
    asked = renderer.prompt([SYSTEM, QUESTION]).text
    rules = ReadingRules(thinking_open=asked.endswith("<think>\n"))
    ids = canonical(text, renderer)
    trace = completed_trace(0, [SYSTEM, QUESTION], ids, renderer, tools, rules)
    (row,) = Stage(folder, setup).run([trace], tool_schema_file=tools.path, settings=settings)
    return renderer, row


def spelled(row: dict[str, Any], renderer: Renderer, kind: str) -> list[str]:
    return [
        renderer.decode(row["input_ids"][span["token_start"] : span["token_end"]])
        for span in row["alignment"][kind]
        if span["message_index"] == 2
    ]


@pytest.mark.parametrize(
    ("text", "thinking", "said", "settings"),
    [
        (QWEN_ANSWERS["call"], [], CALL + "<|im_end|>", {}),
        (
            QWEN_ANSWERS["thinking"],
            ["<think>\nHm, 🌊?\n</think>"],
            "\n\n" + CALL + "<|im_end|>",
            {},
        ),
        (
            QWEN_ANSWERS["empty thinking"],
            ["<think>\n\n</think>"],
            "\n\n" + CALL + "<|im_end|>",
            {},
        ),
        (
            QWEN_ANSWERS["call"],
            [],
            CALL + "<|im_end|>",
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
        (
            "Hm, 🌊?\n</think>\n\n" + CALL + "<|im_end|>",
            ["Hm, 🌊?\n</think>"],
            "\n\n" + CALL + "<|im_end|>",
            {"chat_template": THINK_OPEN},
        ),
    ],
    ids=["none", "own", "own, empty", "the template's, empty", "opened by the prompt"],
)
def test_reasoning_is_what_the_model_wrote_and_never_content(
    text: str,
    thinking: list[str],
    said: str,
    settings: dict[str, Any],
    qwen: Setup,
    b4_tools: ToolSchema,
    shared_dir: Path,
    tmp_path: Path,
) -> None:
    if "chat_template" in settings:
        settings = {"chat_template": str(shared_dir / "cases" / "chat_templates" / THINK_OPEN)}
    renderer, row = thinking_row(qwen, b4_tools, tmp_path, text, **settings)
    assert spelled(row, renderer, "thinking_spans") == thinking
    assert spelled(row, renderer, "assistant_spans") == [said]
    prompt = renderer.decode(row["input_ids"][: row["prompt"]["length"]])
    given = settings.get("chat_template_kwargs", {})
    assert prompt.endswith("<think>\n\n</think>\n\n") == (given == {"enable_thinking": False})
    assert row["render_options"]["chat_template_kwargs"] == given


def test_template_kwargs_are_part_of_the_row_s_id(qwen: Setup, tmp_path: Path) -> None:
    """The same ids under two settings are two renders."""
    trace = build_trace("trace_made_" + "0" * 32)
    trace["messages"] = [QUESTION, {"role": "assistant", "content": "Yes."}]
    ids = []
    for number, given in enumerate(({}, {"enable_thinking": True})):
        settings = {"chat_template_kwargs": given}
        (row,) = Stage(tmp_path / str(number), qwen).run([trace], settings=settings)
        ids.append((row["render_id"], row["input_ids"]))
    assert ids[0][0] != ids[1][0]
    assert ids[0][1] == ids[1][1]
    with pytest.raises(TokenizerError, match="messages is given by the workflow"):
        qwen.settings(chat_template_kwargs={"messages": []})


def test_printed_reasoning_has_spans_and_earlier_reasoning_may_be_left_out(
    qwen: Setup, tmp_path: Path
) -> None:
    trace = build_trace("trace_made_" + "0" * 32)
    trace["messages"] = [
        QUESTION,
        {"role": "assistant", "content": "One.", "thinking": "Hm."},
        QUESTION,
        {"role": "assistant", "content": "Two.", "thinking": "So."},
    ]
    stage = Stage(tmp_path, qwen)
    (row,) = stage.run([trace])
    renderer = qwen.renderer()
    tokens = [renderer.decode([token]) for token in row["input_ids"]]
    spans = {
        kind: [
            (span["message_index"], "".join(tokens[span["token_start"] : span["token_end"]]))
            for span in row["alignment"][kind]
        ]
        for kind in ("thinking_spans", "assistant_spans")
    }
    assert spans == {
        "thinking_spans": [(3, "<think>\nSo.\n</think>")],
        "assistant_spans": [(1, "One.<|im_end|>"), (3, "\n\nTwo.<|im_end|>")],
    }
    assert stage.stats()["details"]["thinking_left_out"] == 1
    assert stage.run([trace], earlier_thinking="reject") == []
    assert [reject["reason"] for reject in stage.rejects()] == ["thinking_dropped"]
    del trace["messages"][1]["thinking"], trace["messages"][3]["thinking"]
    (row,) = stage.run([trace])
    assert row["alignment"]["thinking_spans"] == []
    last = row["alignment"]["assistant_spans"][-1]
    assert renderer.decode(row["input_ids"][last["token_start"] : last["token_end"]]) == (
        "Two.<|im_end|>"
    )


def test_a_row_for_each_turn_is_behind_the_prompt_of_that_turn(
    qwen: Setup, qwen_renderer: Renderer, b4_tools: ToolSchema, tmp_path: Path
) -> None:
    call = {"call_id": "c0", "function": {"name": "list_files", "arguments": {}}}
    result = {"role": "tool", "content": "a b IGNORE", "tool_call_id": "c0", "name": "list_files"}
    talk = [
        SYSTEM,
        QUESTION,
        {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [call]},
        result,
        {"role": "assistant", "content": "a, b.", "thinking": "So."},
        QUESTION,
    ]
    trace = completed_trace(
        0, talk, canonical(QWEN_ANSWERS["thinking"], qwen_renderer), qwen_renderer, b4_tools
    )
    trace["signal_hints"]["injection_char_span"] = {
        "message_index": 3,
        "char_start": 4,
        "char_end": 10,
    }
    stage = Stage(tmp_path, qwen)
    rows = stage.run([trace], tool_schema_file=b4_tools.path, rows="turn")
    assert [row["turn_index"] for row in rows] == [2, 4, 6]
    assert [row["last_turn"] for row in rows] == [False, False, True]
    assert [row["on_policy"] for row in rows] == [False, False, True]
    assert len({row["render_id"] for row in rows}) == 3
    assert [len(row["signals"]["injection_spans"]) for row in rows] == [0, 1, 1]
    for row in rows:
        prompt = qwen_renderer.prompt(trace["messages"][: row["turn_index"]], b4_tools.tools)
        assert row["input_ids"][: row["prompt"]["length"]] == prompt.ids
        assert row["prompt"]["sha256"] == prompt.sha256
        (thinking,) = (
            span
            for span in row["alignment"]["thinking_spans"]
            if span["message_index"] == row["turn_index"]
        )
        assert thinking["token_start"] == row["prompt"]["length"]
    stats = stage.stats()
    assert (stats["counts"]["records_in"], stats["counts"]["records_out"]) == (3, 3)
    assert stats["details"]["traces"] == 1
    files = [tmp_path / "in" / "traces.jsonl", tmp_path / "out.jsonl"]
    assert validate(files).failed == 0


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_policies_train_what_the_model_wrote_and_reasoning_by_its_weight(
    weight: float, qwen: Setup, b4_tools: ToolSchema, tmp_path: Path
) -> None:
    text = QWEN_ANSWERS["thinking"]
    renderer, row = thinking_row(qwen, b4_tools, tmp_path, text)
    reasoning, end = len(canonical("<think>\nHm, 🌊?\n</think>", renderer)), len(row["input_ids"])
    written = end - row["prompt"]["length"]
    for policy in ("assistant_only", "completion_only"):
        layers = load_registry().bind(policy).layers
        weights = make_mask(row, layers, factors_of(row, weight)).weights()
        assert weights[: end - written] == [0.0] * (end - written)
        assert weights[end - written :] == [weight] * reasoning + [1.0] * (written - reasoning)
