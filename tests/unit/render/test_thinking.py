"""Reasoning in templates of one's own: under whatever key and in whatever tag, with its markers; a
block that only the template wrote belongs to nobody.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.render.thinking import may_reason
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


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("opening", TAGS)
def test_an_empty_block_is_the_templates(
    smollm2: Setup, tmp_path: Path, opening: str, asked: bool
) -> None:
    shown, content = placed(smollm2, tmp_path, opening, "reasoning", "", asked=asked)
    assert (shown, content) == ([], "Yes.<|im_end|>")
