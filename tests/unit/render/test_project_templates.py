"""The project's own templates of families whose stock template loses text: everything is printed
and placed, and the text is the stock template's where that loses nothing.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from cbdata.paths import CHAT_TEMPLATES
from cbdata.render.draft import Draft
from cbdata.render.renderer import Renderer
from cbdata.render.stock_templates import CONTROL, STOCK, stock_of
from cbdata.render.template import ChatTemplate, check_pin
from tests.unit.render.families import family_renderer

DATE = "26 Jul 2024"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
NAMES = ("gpt_oss_tools", "hermes_tools", "minimax_m1_tools", "mistral_small_tools", "solar_tools")

SYSTEM = {"role": "system", "content": "be kind"}
ASK = {"role": "user", "content": "what is up"}
DONE = {"role": "assistant", "content": "all done"}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {
            "type": "object",
            "properties": {
                "word": {"type": "string", "description": "what"},
                "many": {"type": "array", "items": {"type": "integer"}},
                "kind": {"type": "string", "enum": ["a", "b"], "default": "a"},
                "deep": {"type": "object", "properties": {"in": {"type": "boolean"}}},
                "one": {"oneOf": [{"type": "number", "default": 1}, {"type": "string"}]},
                "any": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            },
            "required": ["word"],
        },
    },
}


def call(number: int) -> dict[str, Any]:
    function = {"name": f"look_{number}", "arguments": {"word": f"word {number}"}}
    return {"call_id": f"callid00{number}", "function": function}


def calls(*numbers: int, text: str = "", **more: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": text,
        "tool_calls": [call(number) for number in numbers],
        **more,
    }


def result(number: int) -> dict[str, Any]:
    return {"role": "tool", "content": f"found {number}", "tool_call_id": f"callid00{number}"}


LOSSY = [
    SYSTEM,
    ASK,
    calls(1, 2, text="let me see"),
    result(2),
    result(1),
    calls(3, text="once more"),
    result(3),
    DONE,
]
"""What the stock templates drop or refuse."""


def source(name: str) -> str:
    return (CHAT_TEMPLATES / f"{name}.jinja").read_text("utf-8")


@pytest.fixture(scope="module", params=NAMES)
def renderer(request: pytest.FixtureRequest, smollm2_renderer: Renderer) -> Renderer:
    text = source(request.param)
    control = re.findall(r"<\|[a-z_:]+\|>", text)
    made = family_renderer(text, smollm2_renderer.tokenizer, "", control)
    made.template.name = request.param
    return made


@pytest.mark.parametrize("name", NAMES)
def test_each_is_pinned_and_stands_in(name: str) -> None:
    check_pin(name, source(name))
    assert name in {stock.project for stock in STOCK.values()}


def test_nothing_is_lost(renderer: Renderer) -> None:
    """Every content, call and result is found, each call in its own message."""
    draft: Draft = renderer.draft(LOSSY, [TOOL])
    text = draft.text
    contents = {
        turn.index: "".join(text[part.start : part.end] for part in turn.pieces)
        for turn in draft.turns
    }
    assert contents == {index: message["content"] for index, message in enumerate(LOSSY)}
    found = [(turn.index, each.index, each.name) for turn in draft.turns for each in turn.calls]
    assert found == [(2, 0, "look_1"), (2, 1, "look_2"), (5, 0, "look_3")]
    for turn in draft.turns:
        for number, each in enumerate(turn.calls):
            shown = text[each.start : each.end]
            assert f"word {each.name[-1]}" in shown
            assert len(re.findall("word [0-9]", shown)) == 1
            assert number == each.index
    assert "look" in text


def test_a_prompt_is_the_beginning_of_what_follows(renderer: Renderer) -> None:
    """Text beside calls is printed alike whatever comes behind it."""
    whole = renderer.template.render(LOSSY, [TOOL])[0]
    # As Hermes' stock template, ours prints a newline behind results that something follows
    for end in (2,) if renderer.template.name == "hermes_tools" else (2, 5, 7):
        prompt = renderer.template.render(LOSSY[:end], [TOOL], generation_prompt=True)[0]
        assert whole.startswith(prompt)


GOLDEN = {
    "hermes_tools": (
        "<|im_start|>assistant\nlet me see"
        '\n<tool_call>\n{"name": "look_1", "arguments": {"word": "word 1"}}\n</tool_call>'
        '\n<tool_call>\n{"name": "look_2", "arguments": {"word": "word 2"}}\n</tool_call>'
        "<|im_end|>\n"
        "<|im_start|>tool\n<tool_response>\nfound 2\n</tool_response>\n"
        "<tool_response>\nfound 1\n</tool_response>\n<|im_end|><|im_start|>assistant\n"
    ),
    "minimax_m1_tools": (
        "<beginning_of_sentence>ai name=assistant\nlet me see\n<tool_calls>\n"
        '{"name": "look_1", "arguments": {"word": "word 1"}}\n'
        '{"name": "look_2", "arguments": {"word": "word 2"}}\n</tool_calls><end_of_sentence>\n'
        "<beginning_of_sentence>tool name=tools\ntool result: found 2\n\n<end_of_sentence>\n"
    ),
    "solar_tools": (
        "<|begin|>assistant<|content|>let me see<|end|><|begin|>assistant<|tool_calls|>"
        "<|tool_call:begin|>callid001<|tool_call:name|>look_1<|tool_call:args|>"
        '{"word": "word 1"}<|tool_call:end|>'
        "<|tool_call:begin|>callid002<|tool_call:name|>look_2<|tool_call:args|>"
        '{"word": "word 2"}<|tool_call:end|><|calls|>'
        "<|begin|>tool<|tool_response|><|tool_response:begin|>callid002<|tool_response:name|>look_2"
        "<|tool_response:result|>found 2<|tool_response:end|>"
    ),
    "gpt_oss_tools": (
        "<|start|>assistant<|channel|>analysis<|message|>let me see<|end|>"
        "<|start|>assistant to=functions.look_1<|channel|>commentary json<|message|>"
        '{"word": "word 1"}<|end|>'
        "<|start|>assistant to=functions.look_2<|channel|>commentary json<|message|>"
        '{"word": "word 2"}<|call|>'
        "<|start|>functions.look_2 to=assistant<|channel|>commentary<|message|>"
        '"found 2"<|end|>'
    ),
    "mistral_small_tools": (
        'let me see[TOOL_CALLS]look_1[CALL_ID]callid001[ARGS]{"word": "word 1"}'
        '[TOOL_CALLS]look_2[CALL_ID]callid002[ARGS]{"word": "word 2"}</s>'
        "[TOOL_RESULTS]callid002[TOOL_CONTENT]found 2[/TOOL_RESULTS]"
    ),
}


@functools.cache
def compiled(text: str) -> ChatTemplate:
    return ChatTemplate(text, "made", SPECIAL, DATE)


@pytest.mark.parametrize("name", NAMES)
def test_the_format(name: str) -> None:
    assert GOLDEN[name] in compiled(source(name)).render(LOSSY, [TOOL])[0]


@pytest.mark.parametrize("name", ["hermes_tools", "minimax_m1_tools", "solar_tools"])
def test_white_space_beside_calls_is_not_printed(name: str) -> None:
    """As the stock templates, which trim it."""
    template = compiled(source(name))
    wanted = template.render([ASK, calls(1), result(1)], [TOOL])[0]
    assert template.render([ASK, calls(1, text=" \n"), result(1)], [TOOL])[0] == wanted


def test_solar_demands_no_token_that_only_its_prose_names() -> None:
    text = source("solar_tools")
    assert "<|tool_response:id|>" in compiled(text).render([ASK, DONE], [TOOL])[0]
    assert "<|tool_response:id|>" not in CONTROL.findall(text)


def trl_source(name: str) -> str:
    found = importlib.util.find_spec("trl")
    if found is None or not found.submodule_search_locations:
        pytest.skip("TRL is not installed")
    return (Path(found.submodule_search_locations[0]) / "chat_templates" / name).read_text("utf-8")


KEPT: dict[str, list[dict[str, Any]]] = {
    "answers": [SYSTEM, ASK, DONE, ASK, DONE],
    "no system": [ASK, DONE],
    "calls": [SYSTEM, ASK, calls(1), result(1), calls(2), result(2), DONE],
    "a call last": [ASK, calls(1), result(1), calls(2, text="so")],
    "reasoning": [ASK, {**DONE, "thinking": "hm"}],
    "reasoning and a call": [ASK, calls(1, thinking="hm"), result(1)],
    "earlier reasoning": [ASK, calls(1, thinking="hm"), result(1), {**DONE, "thinking": "so"}],
}


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("tools", [None, [TOOL]])
@pytest.mark.parametrize("messages", KEPT.values(), ids=list(KEPT))
def test_gpt_oss_is_the_stock_template_where_that_loses_nothing(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, asked: bool
) -> None:
    stock = trl_source("gptoss.jinja")
    known = stock_of(stock)
    assert known is not None
    texts = [
        compiled(each).render(messages, tools, generation_prompt=asked)[0]
        for each in (stock, source(known.project))
    ]
    assert texts[0] == texts[1]
