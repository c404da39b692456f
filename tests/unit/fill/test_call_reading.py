"""How completions are read: settled before a model is loaded, and by each prompt's own end."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import xgrammar
from transformers import AutoTokenizer

from cbdata.call_formats.registry import AUTO, FORMATS
from cbdata.call_formats.settle import UnsettledFormat
from cbdata.config import config_schema
from cbdata.fill.call_reading import CompletionReader, load_renderer, settle_calls
from cbdata.fill.settings import FillSettings
from cbdata.judge.reading import read_completion
from cbdata.tools import ToolSchema
from tests.fill_settings import fill_settings

TOKENIZERS = ("llama-3.1", "qwen3", "gemma-3")
WEB = {"name": "search_web", "arguments": {"query": "tides"}}


def test_the_configuration_knows_every_format() -> None:
    assert config_schema()["properties"]["call_format"]["enum"] == [AUTO, *FORMATS]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_text_of_a_completion_is_the_one_that_is_stored(shared_dir: Path, name: str) -> None:
    settings = fill_settings(call_format="hermes_json")
    renderer = load_renderer(settings, shared_dir / "tokenizers" / name)
    size = renderer.tokenizer.model.get_vocab_size()
    controls = [token.id for token in renderer.tokenizer.control.values()]
    white = list(renderer.tokenizer.text_tokens.values())
    draw = random.Random(0)
    words = renderer.tokenizer.model.encode(
        " caf\u00e9 \u6f6e\u6c50 \n\n  x 1", add_special_tokens=False
    ).ids
    reader = CompletionReader(
        renderer, settle_calls(renderer, shared_dir, settings, TOOLS).settled, False
    )
    for _ in range(200):
        ids = [
            draw.choice((draw.randrange(size), draw.choice(controls), *words, *white[:3]))
            for _ in range(12)
        ]
        assert reader.completion(ids).text == renderer.decode(ids)


TOOLS = ToolSchema("v", (), None, "0", "tools.json")


def qwen(shared_dir: Path, **changes: object):
    settings = fill_settings(**changes)
    folder = shared_dir / "tokenizers/qwen3"
    return load_renderer(settings, folder), folder, settings


def test_each_prompt_says_whether_reasoning_is_open(shared_dir: Path) -> None:
    renderer, folder, settings = qwen(
        shared_dir,
        chat_template=str(shared_dir / "cases/chat_templates/think_open_in_prompt.jinja"),
    )
    settled = settle_calls(renderer, folder, settings, TOOLS).settled
    reader = CompletionReader(renderer, settled, False)
    opened = renderer.prompt([{"role": "user", "content": "When is high tide?"}]).ids
    assert reader.rules(opened).thinking_open
    plain, *_ = qwen(shared_dir)
    closed = plain.prompt([{"role": "user", "content": "When is high tide?"}]).ids
    assert not reader.rules(closed).thinking_open


def test_letters_of_a_marker_at_the_end_of_a_prompt_open_nothing(shared_dir: Path) -> None:
    renderer, folder, settings = qwen(shared_dir)
    reader = CompletionReader(
        renderer, settle_calls(renderer, folder, settings, TOOLS).settled, False
    )
    think = renderer.tokenizer.control["<think>"].id
    letters = renderer.tokenizer.model.encode("<think>", add_special_tokens=False).ids
    assert renderer.decode(letters) == renderer.decode([think]) == "<think>"
    assert not reader.rules(letters).thinking_open and reader.rules([think]).thinking_open


def test_a_constrained_call_has_the_models_own_control_tokens(
    shared_dir: Path, b4_tools: ToolSchema
) -> None:
    renderer, folder, settings = qwen(shared_dir, constrain_tool_calls=True)
    calls = settle_calls(renderer, folder, settings, b4_tools)
    assert calls.settled.call_format == "hermes_json" and calls.grammar is not None
    info = xgrammar.TokenizerInfo.from_huggingface(AutoTokenizer.from_pretrained(folder))
    grammar = xgrammar.GrammarCompiler(info).compile_grammar(calls.grammar)

    def accepts(ids: list[int]) -> bool:
        matcher = xgrammar.GrammarMatcher(grammar, terminate_without_stop_token=True)
        return all(map(matcher.accept_token, ids)) and matcher.is_completed()

    encode = renderer.tokenizer.model.encode
    body = encode(f"\n{json.dumps(WEB)}\n", add_special_tokens=False).ids
    opening, closing = (renderer.tokenizer.control[f"<{mark}tool_call>"].id for mark in ("", "/"))
    good = [opening, *body, closing]
    spelled = encode("<tool_call>", add_special_tokens=False).ids
    assert accepts(good) and not accepts([*spelled, *body, closing])
    reader = CompletionReader(renderer, calls.settled, False)
    read = read_completion(reader.completion(good), b4_tools, reader.rules([]))
    assert [(call.name, call.arguments) for call in read.calls] == [
        ("search_web", WEB["arguments"])
    ]


def test_the_engine_is_told_of_ends_that_the_models_files_do_not_name(shared_dir: Path) -> None:
    settings = fill_settings(chat_template="llama31_tools")
    folder = shared_dir / "tokenizers/llama-3.1"
    renderer = load_renderer(settings, folder)
    calls = settle_calls(renderer, folder, settings, TOOLS)
    assert calls.settled.end_tokens == {"<|eot_id|>", "<|eom_id|>"}
    # The tokenizer's end of sequence is <|eot_id|>.
    assert calls.stop_token_ids == (renderer.tokenizer.control["<|eom_id|>"].id,)
    renderer, folder, settings = qwen(shared_dir)
    assert settle_calls(renderer, folder, settings, TOOLS).stop_token_ids == ()


def test_calls_cannot_be_constrained_behind_open_reasoning(
    shared_dir: Path, b4_tools: ToolSchema
) -> None:
    renderer, folder, settings = qwen(
        shared_dir,
        chat_template=str(shared_dir / "cases/chat_templates/think_open_in_prompt.jinja"),
        constrain_tool_calls=True,
    )
    with pytest.raises(UnsettledFormat, match=r"opens reasoning in the prompt.*Fix"):
        settle_calls(renderer, folder, settings, b4_tools)


@pytest.mark.parametrize("make_grammar", [True, False])
def test_planning_settles_the_format_with_a_grammar_or_without_making_one(
    demo_model: Path, b4_tools: ToolSchema, tmp_path: Path, make_grammar: bool
) -> None:
    held = fill_settings(model=str(demo_model), constrain_tool_calls=True)

    def settle(settings: FillSettings) -> None:
        renderer = load_renderer(settings, demo_model)
        settle_calls(renderer, demo_model, settings, b4_tools, make_grammar)

    settle(held)
    template = tmp_path / "own.jinja"
    template.write_text("{% for m in messages %}{{ m.content }}{{ m.tool_calls }}{% endfor %}")
    with pytest.raises(UnsettledFormat):
        settle(replace(held, chat_template=str(template)))
    with pytest.raises(UnsettledFormat, match="glm has no grammar"):
        settle(replace(held, call_format="glm"))
