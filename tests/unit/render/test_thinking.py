"""Reasoning in templates of one's own: under whatever key and in whatever tag, with its markers; a
block that only the template wrote belongs to nobody.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.render.renderer import Renderer
from cbdata.render.thinking import may_reason
from tests.unit.render.families import family_renderer
from tests.unit.render.setups import Setup

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' %}{{ 'OPEN\n' + (m.KEY or '') + '\nCLOSE\n\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\nASKED' }}{% endif %}"
)
TAGS = ["<think>", "<thinking>", "<Thought>", "<reasoning>", "[THINK]", "[reasoning]"]


def placed(
    smollm2: Setup, folder: Path, opening: str, key: str, thinking: str, *, asked: bool
) -> tuple[list[str], str]:
    """Reasoning and content of an answer as its spans show them."""
    closing = f"{opening[0]}/{opening[1:]}"
    source = TEMPLATE.replace("OPEN", opening).replace("CLOSE", closing).replace("KEY", key)
    file = folder / "own.jinja"
    file.write_text(source.replace("ASKED", f"{opening}\n" if asked else ""))
    assert may_reason(file.read_text())
    answer = {"role": "assistant", "content": "Yes.", "thinking": thinking}
    draft = (
        smollm2.renderer(chat_template=str(file))
        .render([{"role": "user", "content": "Well?"}, answer])
        .draft
    )
    turn = draft.turns[-1]
    shown = [draft.text[start:end] for start, end in turn.thinking]
    return shown, draft.text[turn.content_start : turn.content_end]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
@pytest.mark.parametrize("opening", TAGS)
def test_markers_belong_to_reasoning(
    smollm2: Setup, tmp_path: Path, opening: str, key: str
) -> None:
    closing = f"{opening[0]}/{opening[1:]}"
    for asked, begins in ((True, ""), (False, f"{opening}\n")):
        shown, content = placed(smollm2, tmp_path, opening, key, "It is so.", asked=asked)
        assert shown == [f"{begins}It is so.\n{closing}"]
        assert content == "\n\nYes.<|im_end|>"


OWN_WORDS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.reasoning_content %}{{ m.reasoning_content + '\n\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.mark.parametrize(
    ("thinking", "content", "said"),
    [
        ("why", "</thoughts>hello", "</thoughts>hello"),
        ("why", "[/reason] hello", "[/reason] hello"),
        ("", "<think>x</think>\n</analysis>\nhello", "\n</analysis>\nhello"),
    ],
)
def test_a_content_that_begins_like_a_closing_marker_is_content(
    smollm2: Setup, tmp_path: Path, thinking: str, content: str, said: str
) -> None:
    file = tmp_path / "own.jinja"
    file.write_text(OWN_WORDS)
    answer = {"role": "assistant", "content": content, "thinking": thinking}
    draft = (
        smollm2.renderer(chat_template=str(file))
        .render([{"role": "user", "content": "Well?"}, answer])
        .draft
    )
    turn = draft.turns[-1]
    assert len(turn.thinking) == 1
    assert draft.text[turn.content_start : turn.content_end].lstrip("\n").startswith(said.lstrip())


APART = """{% for m in messages %}{% if m.role == 'assistant' %}
{%- if m.reasoning_content or m.content %}<|im_start|>assistant
{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>
{% endif %}{{ m.content }}<|im_end|>
{% endif %}{% if m.tool_calls %}<|im_start|>assistant
EMPTY{% for c in m.tool_calls %}<tool_call>{"name": "{{ c.function.name }}", "arguments": {{
c.function.arguments | tojson }}}</tool_call>{% endfor %}<|im_end|>
{% endif %}{% else %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


@pytest.mark.parametrize("empty", ["", "<think>\n\n</think>\n\n"])
@pytest.mark.parametrize(("said", "why"), [("said", ""), ("said", "why"), ("", "why")])
def test_calls_behind_the_end_of_what_is_said_are_a_turn_of_their_own(
    smollm2: Setup, tmp_path: Path, said: str, why: str, empty: str
) -> None:
    """No header lies in a turn, and a block that only the template wrote lies in no call."""
    file = tmp_path / "own.jinja"
    file.write_text(APART.replace("EMPTY", empty))
    call = {"call_id": "c", "function": {"name": "f", "arguments": {"x": "y"}}}
    answer = {"role": "assistant", "content": said, "tool_calls": [call]}
    if why:
        answer["thinking"] = why
    draft = (
        smollm2.renderer(chat_template=str(file))
        .render([{"role": "user", "content": "Well?"}, answer])
        .draft
    )
    turns = [turn for turn in draft.turns if turn.index == 1]
    assert len(turns) == 2
    assert [draft.text[turn.own_start : turn.end].count("<|im_start|>") for turn in turns] == [0, 0]
    (placed_call,) = turns[1].calls
    shown = draft.text[placed_call.start : placed_call.end]
    assert shown == '<tool_call>{"name": "f", "arguments": {"x": "y"}}</tool_call>'
    stretches = [
        draft.text[each.start : each.end] for each in draft.stretches if each.kind == "call"
    ]
    assert stretches == [shown]


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("opening", TAGS)
def test_an_empty_block_is_the_templates(
    smollm2: Setup, tmp_path: Path, opening: str, asked: bool
) -> None:
    shown, content = placed(smollm2, tmp_path, opening, "reasoning", "", asked=asked)
    assert (shown, content) == ([], "Yes.<|im_end|>")


@pytest.mark.parametrize("content", ["", "  \n", "Yes."])
@pytest.mark.parametrize(
    "blocks", ["", "{% if m.thinking %}<|think|>{{ m.thinking }}<|end|>{% endif %}"]
)
def test_the_end_of_an_empty_answer_is_no_block_for_reasoning(
    content: str, blocks: str, smollm2_renderer: Renderer
) -> None:
    """``<|end|>`` ends reasoning in some templates, and turns."""
    renderer = family_renderer(
        "{% for m in messages %}<|{{ m.role }}|>" + blocks + "{{ m.content | trim }}<|end|>"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
        smollm2_renderer.tokenizer,
    )
    asked = {"role": "user", "content": "Well?"}
    answer = {"role": "assistant", "content": content}
    draft = renderer.draft([asked, answer, asked, answer])
    for turn in draft.turns[1::2]:
        shown = draft.text[turn.content_start : turn.content_end]
        assert shown == f"{content.strip()}<|end|>"
