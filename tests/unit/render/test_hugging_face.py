"""Token ids against transformers' own path (apply_chat_template, then tokenise), on every real
transcript.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.render.renderer import Renderer
from cbdata.tools import ToolSchema
from tests.unit.render.setups import Setup, find_setup

# What each template refuses or leaves out of the real transcripts; nothing else may be rejected.
REFUSALS = {
    "llama-3.1": set(),
    "llama-3.1-stock": {"content_dropped", "template_refused"},
    "qwen3": set(),
    "smollm2": set(),
}


def both(setup: Setup, repo: Path) -> tuple[Renderer, Any, str | None]:
    """The project's renderer and transformers' tokenizer for it, with the template to give it."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(setup.folder), local_files_only=True)
    template = repo / "configs/chat_templates/llama31_tools.jinja"
    return setup.renderer(), tokenizer, template.read_text() if setup.force_llama else None


def chat(messages: Sequence[dict[str, Any]], calls_as_text: bool) -> list[dict[str, Any]]:
    """Messages as transformers wants them."""
    out = []
    for message in messages:
        row = {"role": message["role"], "content": message["content"]}
        calls = [
            {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
            for call in message.get("tool_calls", ())
        ]
        if calls and calls_as_text:
            texts = [
                f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"
                for call in calls
            ]
            row["content"] = "\n".join(([row["content"]] if row["content"] else []) + texts)
        elif calls:
            row["tool_calls"] = [{"type": "function", "function": call} for call in calls]
        out.append(row)
    return out


@pytest.mark.parametrize("name", REFUSALS)
def test_every_real_transcript(
    name: str, request: pytest.FixtureRequest, transcripts: list[dict[str, Any]], repo: Path
) -> None:
    renderer, tokenizer, template = both(find_setup(name, request), repo)
    calls_as_text = not renderer.template.calls_known
    refused: Counter[str] = Counter()
    texts, ids = [], []
    for trace in transcripts:
        try:
            rendered = renderer.render(trace["messages"])
        except Reject as error:
            refused[error.reason] += 1
            continue
        assert not rendered.draft.control_text
        texts.append(
            tokenizer.apply_chat_template(
                chat(trace["messages"], calls_as_text), tokenize=False, chat_template=template
            )
        )
        assert texts[-1] == rendered.draft.text, trace["id"]
        ids.append(rendered.tokens.packed())
    assert len(ids) + refused.total() == len(transcripts)
    assert set(refused) == REFUSALS[name]
    for start in range(0, len(texts), 128):
        expected = tokenizer(texts[start : start + 128], add_special_tokens=False)["input_ids"]
        for own, theirs in zip(ids[start : start + 128], expected, strict=True):
            assert own.tolist() == theirs


def test_stock_llama_refuses_what_it_cannot_show(
    request: pytest.FixtureRequest, transcripts: list[dict[str, Any]]
) -> None:
    """The reasons are those that the messages show: text beside a call, or more than one call in a
    turn.
    """
    renderer = find_setup("llama-3.1-stock", request).renderer()
    seen: Counter[str] = Counter()
    for trace in transcripts[::7]:
        with_calls = [message for message in trace["messages"] if "tool_calls" in message]
        several = any(len(message["tool_calls"]) > 1 for message in with_calls)
        beside = any(message["content"].strip() for message in with_calls)
        expected = "template_refused" if several else "content_dropped" if beside else "rendered"
        try:
            renderer.render(trace["messages"])
            reason = "rendered"
        except Reject as error:
            reason = error.reason
        assert reason == expected
        seen[reason] += 1
    assert len(seen) == 3


@pytest.mark.parametrize("name", REFUSALS)
def test_prompts_with_tools(
    name: str, request: pytest.FixtureRequest, repo: Path, b4_tools: ToolSchema
) -> None:
    """What the fill stage feeds a model is what transformers would feed it, tools and generation
    prompt included.
    """
    renderer, tokenizer, template = both(find_setup(name, request), repo)
    tools = list(b4_tools.tools)
    for question in (
        "What is due?",
        '<script>alert("1 > 0")</script>\n\n é😀 ',
        "{{ 7 * 7 }} {% raw %}",
    ):
        messages = [
            {"role": "system", "content": b4_tools.system_prompt or "Be brief."},
            {"role": "user", "content": question},
        ]
        prompt = renderer.prompt(messages, tools)
        if renderer.template.tools_known:
            text = tokenizer.apply_chat_template(
                messages,
                tools=tools,
                tokenize=False,
                add_generation_prompt=True,
                chat_template=template,
            )
        else:
            listed = "".join("\n" + json.dumps(tool, ensure_ascii=False) for tool in tools)
            assert f"<tools>{listed}\n</tools>" in prompt.text
            system = prompt.text.split("<|im_end|>")[0].removeprefix("<|im_start|>system\n")
            assert system.startswith(messages[0]["content"] + "\n\n# Tools\n")
            text = tokenizer.apply_chat_template(
                [{"role": "system", "content": system}, messages[1]],
                tokenize=False,
                add_generation_prompt=True,
            )
        assert prompt.text == text
        assert prompt.ids == tokenizer(text, add_special_tokens=False)["input_ids"]
