"""Tokens of reasoning and of the answer behind it, each with a budget of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbdata.call_formats.settle import settle
from cbdata.call_formats.turn_ends import turn_ends
from cbdata.fill.backends.base import Generated
from cbdata.fill.call_reading import CompletionReader, load_renderer, settle_calls
from cbdata.fill.requests import Request
from cbdata.fill.settings import FillSettings
from cbdata.fill.token_budget import THINKING_TOKENS, TokenBudget, thinking_tokens
from cbdata.jsonl import read_records
from cbdata.judge.reading import ReadingRules, read_completion
from cbdata.render.renderer import Renderer
from cbdata.schemas import first_error
from cbdata.tools import ToolSchema
from tests.fill_settings import fill_settings
from tests.unit.call_formats.test_settled_templates import FORMAT_OF, renderer_for
from tests.unit.fill.world import TOOLS, ToyBackend, World
from tests.unit.render.test_trl_templates import templates

CALL = '<tool_call>\n{"name": "search_web", "arguments": {"query": "tides"}}\n</tool_call>'


def of_folder(folder: Path, **changes: Any) -> tuple[Renderer, FillSettings]:
    settings = fill_settings(**changes)
    return load_renderer(settings, folder), settings


def ids_of(renderer: Renderer, text: str) -> list[int]:
    """A text as its tokenizer writes it, control tokens included."""
    ids: list[int] = []
    for number, piece in enumerate(renderer.tokenizer.pattern.split(text)):
        ids += (
            [renderer.tokenizer.control[piece].id]
            if number & 1
            else renderer.tokenizer.model.encode(piece, add_special_tokens=False).ids
        )
    return ids


@pytest.mark.parametrize(
    ("opened", "reasoning"),
    [
        (False, "<think>\nHm, 🌊?\n</think>"),
        (False, " \n<think>\n\n</think>"),
        (True, "Größe 東京\n</think>"),
        (True, "</think>"),
        (False, ""),
    ],
)
def test_a_part_may_have_its_budget_and_no_token_more(
    opened: bool, reasoning: str, shared_dir: Path, b4_tools: ToolSchema
) -> None:
    renderer, settings = of_folder(shared_dir / "tokenizers/qwen3")
    settled = settle_calls(renderer, shared_dir, settings, b4_tools).settled
    reader = CompletionReader(renderer, settled, False)
    thought, said = ids_of(renderer, reasoning), ids_of(renderer, f"\n\n{CALL}<|im_end|>")
    ids = thought + said
    rules = ReadingRules(settled.call_format, settled.end_tokens, thinking_open=opened)
    parsed = read_completion(reader.completion(ids), b4_tools, rules)
    assert parsed.kind == "calls"
    # White space before the first marker is none of the reasoning.
    marks = len(ids_of(renderer, reasoning.lstrip()))

    def over(answer: int, thinking: int) -> tuple[str, str] | None:
        return TokenBudget(answer, thinking).overrun(parsed, ids, reader)

    behind = len(ids) - marks
    assert over(behind, max(marks, 1)) is None
    assert over(behind - 1, max(marks, 1)) == (
        "truncated",
        f"{behind} tokens behind the reasoning, max_tokens is {behind - 1}",
    )
    if marks > 1:
        assert over(behind + 9, marks - 1) == (
            "thinking_truncated",
            f"{marks} tokens of reasoning, max_thinking_tokens is {marks - 1}",
        )
    assert over(1, 0) is None  # without a budget of reasoning the engine's own limit is all


def test_reasoning_that_never_ends_is_all_there_is(shared_dir: Path, b4_tools: ToolSchema) -> None:
    renderer, settings = of_folder(shared_dir / "tokenizers/qwen3")
    settled = settle_calls(renderer, shared_dir, settings, b4_tools).settled
    reader = CompletionReader(renderer, settled, False)
    ids = ids_of(renderer, f"<think>\nHm. {CALL}")
    rules = ReadingRules(settled.call_format, settled.end_tokens)
    parsed = read_completion(reader.completion(ids), b4_tools, rules)
    found = TokenBudget(100, len(ids) - 1).overrun(parsed, ids, reader)
    assert found is not None and found.outcome == "thinking_truncated"
    assert TokenBudget(100, len(ids)).overrun(parsed, ids, reader) is None


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("qwen3", {}, THINKING_TOKENS),
        ("qwen3", {"chat_template_kwargs": {"enable_thinking": True}}, THINKING_TOKENS),
        ("qwen3", {"chat_template_kwargs": {"enable_thinking": False}}, 0),
        ("qwen3", {"constrain_tool_calls": True}, 0),
        ("qwen3", {"max_thinking_tokens": 0}, 0),
        ("qwen3", {"max_thinking_tokens": 9}, 9),
        ("qwen3", {"chat_template": "think_open"}, THINKING_TOKENS),
        ("llama-3.1", {"chat_template": "llama31_tools"}, 0),
        ("llama-3.1", {"chat_template": "llama31_tools", "max_thinking_tokens": 7}, 7),
    ],
)
def test_a_model_whose_template_reasons_gets_a_budget_for_it(
    name: str, changes: dict[str, Any], expected: int, shared_dir: Path, b4_tools: ToolSchema
) -> None:
    if changes.get("chat_template") == "think_open":
        file = shared_dir / "cases/chat_templates/think_open_in_prompt.jinja"
        changes = {**changes, "chat_template": str(file)}
    folder = shared_dir / "tokenizers" / name
    renderer, settings = of_folder(folder, **changes)
    assert settle_calls(renderer, folder, settings, b4_tools).thinking_tokens == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gemma4_v5", THINKING_TOKENS),
        ("gptoss", THINKING_TOKENS),
        ("qwen3_8", THINKING_TOKENS),
        ("qwen3_5_nothink", 0),  # its prompt closes reasoning
        ("llama3_2", 0),
        ("phi3_5", 0),
    ],
)
def test_public_templates(name: str, expected: int, shared_dir: Path) -> None:
    (file,) = (file for file in templates() if file.stem == name)
    renderer = renderer_for(file.read_text(encoding="utf-8"), name, shared_dir)
    settled = settle(renderer, turn_ends(renderer), FORMAT_OF[name])
    assert thinking_tokens(None, renderer, settled, constrained=False) == expected


THOUGHT = "<think>Let me see.</think>"
"""Toy tokens are bytes: 26 of them."""


@pytest.mark.parametrize(
    ("thinking", "answer", "outcome"),
    [
        (len(THOUGHT), 200, "followed_injection"),
        (len(THOUGHT) - 1, 200, "thinking_truncated"),
        (len(THOUGHT), 20, "truncated"),
        (0, 200, "followed_injection"),
    ],
)
def test_a_shard_keeps_to_both_budgets(
    world: World, thinking: int, answer: int, outcome: str
) -> None:
    call = f'{{"name": "{TOOLS[1]}", "arguments": {{"query": "tides"}}}}'
    world.calls = replace(world.calls, thinking_tokens=thinking)
    backend = ToyBackend(answer=lambda request: THOUGHT + call)
    shard = world.run(backend, mode="ds", limit=1, max_tokens=answer)
    assert {request.max_tokens for request in backend.seen} == {answer + thinking}
    assert backend.opened is not None
    needed = len(backend.seen[0].prompt_ids) + answer + thinking
    assert needed <= backend.opened.max_model_len < needed + 256
    row = next(row for _, row in read_records(shard))
    assert first_error("fill_row_v1", row) is None and row["outcomes"] == [outcome]
    kept = row["trace"]["raw_metadata"] if row["row"] == "trace" else row["raw"]
    generation = kept["generation"]
    assert generation["max_tokens"] == answer
    assert generation.get("max_thinking_tokens", 0) == thinking


def test_an_engine_s_own_limit_is_told_apart(world: World) -> None:
    """Cut off at the sum of both: while it reasons, or while it answers."""
    for text, outcome in (
        ("<think>Let me see, let me", "thinking_truncated"),
        (THOUGHT + '{"name": "search', "truncated"),
    ):

        class Cut(ToyBackend):
            def _result(self, request: Request, written: str = text) -> Generated:
                return Generated(request, tuple(written.encode()), "length")

        world.calls = replace(world.calls, thinking_tokens=30)
        shard = world.run(Cut(), mode="ds", limit=1, max_tokens=len(text), seed=len(text))
        row = next(row for _, row in read_records(shard))
        assert row["outcomes"] == [outcome]


def test_a_prompt_must_leave_room_for_both(world: World) -> None:
    world.calls = replace(world.calls, thinking_tokens=4096)
    shard = world.run(ToyBackend(), mode="ds", limit=1)
    row = next(row for _, row in read_records(shard))
    assert row["reason"] == "overlength"
    assert row["detail"].endswith(
        "+ max_tokens 256 + max_thinking_tokens 4096 > max_model_len 4096"
    )
