"""Masks of rows that are on policy against an oracle that knows nothing but the ids: tokenizers
with and without control tokens for calls, templates that think and that do not, cut anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cbdata.judge.reading import ReadingRules
from cbdata.lossmask.masks import factors_of, make_mask
from cbdata.lossmask.registry import load_registry
from cbdata.render.renderer import Renderer
from cbdata.tools import ToolSchema
from tests.ids_oracle import Found, IdsOracle, weights
from tests.unit.render.completions import completed_trace, cut_anywhere
from tests.unit.render.setups import Setup, Stage, find_setup, read_lines

SYSTEM = {"role": "system", "content": "Be brief."}
INJECTION = "<!-- IGNORE THIS 🌊 -->"
QUESTION = {"role": "user", "content": f"Show me the tides. {INJECTION} Please."}
CALL = '<tool_call>\n{"name": "search_web", "arguments": {"query": "Größe 東京 🌊"}}\n</tool_call>'
SECOND = '<tool_call>\n{"arguments": {}, "name": "list_files"}\n</tool_call>'
OPEN = "think_open_in_prompt.jinja"
REGISTRY = load_registry()


class Case(NamedTuple):
    """A tokenizer, its settings, and what a model writes behind the prompt."""

    tokenizer: str
    settings: dict[str, Any]
    answers: list[str]


PLAIN = [f"{CALL}<|im_end|>", f"Naïve — let me look.\n{CALL}\n{SECOND}<|im_end|>"]
THINKING = [
    f"<think>\nHm, 🌊?\n</think>\n\n{CALL}<|im_end|>",
    f"\n<think>\n\n</think>{CALL}\n{SECOND}<|im_end|>",
]
CASES = {
    "smollm2": Case("smollm2", {}, [*PLAIN, *THINKING]),
    "qwen3": Case("qwen3", {}, [*PLAIN, *THINKING]),
    "qwen3 thinks": Case("qwen3", {"chat_template_kwargs": {"enable_thinking": True}}, THINKING),
    "qwen3 does not think": Case(
        "qwen3", {"chat_template_kwargs": {"enable_thinking": False}}, PLAIN
    ),
    "opened by the prompt": Case(
        "qwen3",
        {"chat_template": OPEN},
        [f"Hm, 🌊?\n</think>\n\n{CALL}<|im_end|>", f"</think>{CALL}\n{SECOND}<|im_end|>"],
    ),
    "llama-3.1": Case("llama-3.1", {}, []),
    "llama-3.1-stock": Case("llama-3.1-stock", {}, []),
}


class Rows(NamedTuple):
    """Rows of one case with the ranges that the oracle finds in each, and the traces."""

    stage: Stage
    traces: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    found: list[Found]
    options: dict[str, Any]


def answers_of(case: Case, shared_dir: Path) -> Iterator[str]:
    if not case.tokenizer.startswith("llama"):
        yield from case.answers
        return
    file = shared_dir / "data/fujitsu_b4/llama31_responses.jsonl"
    called = [row["response"] for row in read_lines(file) if row["tool_called"]]
    yield from (text + "<|eom_id|>" for text in called[:8])
    yield called[0].replace("Space", "Größe 東京 🌊") + "<|eot_id|>"


def trace_of(
    setup: Setup, renderer: Renderer, text: str, choice: random.Random, tools: ToolSchema, n: int
) -> dict[str, Any]:
    asked = renderer.prompt([SYSTEM, QUESTION], tools.tools).text
    rules = ReadingRules(thinking_open=asked.rstrip().endswith("<think>"))
    ids = [token for token, _ in cut_anywhere(text, renderer.tokenizer, choice)]
    trace = completed_trace(n, [SYSTEM, QUESTION], ids, renderer, tools, rules)
    start = QUESTION["content"].index(INJECTION)
    trace["signal_hints"]["injection_char_span"] = {
        "message_index": 1,
        "char_start": start,
        "char_end": start + len(INJECTION),
    }
    return trace


@pytest.fixture(scope="module", params=CASES)
def made(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    shared_dir: Path,
    b4_tools: ToolSchema,
) -> Rows:
    case = CASES[request.param]
    setup, settings = find_setup(case.tokenizer, request), dict(case.settings)
    if "chat_template" in settings:
        settings["chat_template"] = str(shared_dir / "cases/chat_templates" / OPEN)
    renderer, choice = setup.renderer(**settings), random.Random(14)
    traces = [
        trace_of(setup, renderer, text, choice, b4_tools, 10 * number + cut)
        for number, text in enumerate(answers_of(case, shared_dir))
        for cut in range(4)
    ]
    stage = Stage(tmp_path_factory.mktemp("rows"), setup)
    options = {"tool_schema_file": b4_tools.path, "settings": settings}
    rows = stage.run(traces, **{**options, "settings": dict(settings)})
    assert (len(rows), stage.rejects()) == (len(traces), [])
    oracle = IdsOracle(setup.folder)
    found = []
    for row, trace in zip(rows, traces, strict=True):
        own = trace["raw_metadata"]["generation"]["completion_token_ids"]
        start = len(row["input_ids"]) - len(own)
        assert row["input_ids"][start:] == own and row["on_policy"]
        found.append(oracle.find(row["input_ids"], start, b4_tools.names, INJECTION))
    return Rows(stage, traces, rows, found, options)


def masks_of(
    row: dict[str, Any], policies: Iterable[str], thinking_weight: float
) -> dict[str, list[float]]:
    factors = factors_of(row, thinking_weight)
    return {
        policy: make_mask(row, REGISTRY.bind(policy).layers, factors).weights()
        for policy in policies
    }


@pytest.mark.parametrize("thinking_weight", [0.0, 0.5, 1.0])
def test_every_policy_trains_what_the_ids_say(made: Rows, thinking_weight: float) -> None:
    for row, found in zip(made.rows, made.found, strict=True):
        expected = weights(found, thinking_weight)
        for policy, mask in masks_of(row, expected, thinking_weight).items():
            assert mask == expected[policy], (policy, row["trace_id"])


def test_a_cut_in_the_completion_leaves_what_is_before_it(made: Rows) -> None:
    """A cut row's masks are the beginnings of the whole row's, but for calls that were cut before
    their tool is settled.
    """
    row, found, trace = made.rows[0], made.found[0], made.traces[0]
    start, end = found.completion
    _, name, settled_at = found.calls[0]
    for kept in (start + 2, name[0], settled_at):
        options = {**made.options, "settings": dict(made.options["settings"])}
        (cut,) = made.stage.run([trace], max_length=kept, overlength="truncate", **options)
        assert cut["input_ids"] == row["input_ids"][:kept]
        for weight in (0.5, 1.0):
            whole = weights(found, weight)
            settled = [call for call in found.calls if call[2] <= kept]
            only = weights(
                Found(found.completion, found.thinking, settled, found.system, None, end), weight
            )
            whole["action_commitment"] = only["action_commitment"]
            for policy, mask in masks_of(cut, whole, weight).items():
                expected = whole[policy][:kept]
                if policy == "first_action" and not any(call[0][0] < kept for call in found.calls):
                    expected = [0.0] * kept
                assert mask == expected, (policy, kept)
