"""Where a completion begins in a render, cut or whole."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.render.overlength import Cut, cut_spans
from cbdata.traces.turns import completion_span, completion_spans, completion_start
from tests.conversations import SHORT, Thinking, Turn, agent_turns, build_render


@pytest.mark.parametrize(("turns", "start"), [(SHORT, 4), (agent_turns(), 49)])
def test_it_is_the_length_of_the_prompt(turns: list[Turn], start: int) -> None:
    render, tokens = build_render(turns)
    assert completion_start(render) == start
    assert tokens[start - 1] == "<asst>"


@pytest.mark.parametrize(("side", "start"), [("none", 4), ("window", 4), ("right", None)])
def test_without_a_prompt_the_last_turn_that_is_left_counts_unless_the_end_was_cut(
    side: str, start: int | None
) -> None:
    render, _ = build_render(SHORT)
    del render["prompt"]
    render["render_options"]["truncation_side"] = side
    assert completion_start(render) == start


def test_a_render_without_an_assistant_turn_has_none() -> None:
    render, _ = build_render(SHORT[:1])
    del render["prompt"]
    assert completion_start(render) is None


def test_a_cut_right_behind_the_prompt_leaves_its_length() -> None:
    render, tokens = build_render([*SHORT[:1], Turn("assistant", ["<asst>"], [])], truncated=True)
    render["alignment"]["assistant_spans"] = []
    assert completion_start(render) == len(tokens) == 4


THINKS = [
    Turn("user", ["<user>"], ["hi"]),
    Turn("assistant", ["<asst>"], ["yes"]),
    Turn("user", ["<user>"], ["and"]),
    Turn("assistant", ["<asst>"], [Thinking(["<think>", "hm", "</think>"]), "no", "<end>"]),
]


def cut_behind(kept: int) -> dict[str, Any]:
    """The render of THINKS with the first ``kept`` tokens alone."""
    render, _ = build_render(THINKS, truncated=True)
    cut = Cut(kept, len(render["input_ids"]), len(render["input_ids"]), "right")
    alignment = render["alignment"]
    whole = ("token_start", "token_end")
    last = alignment["assistant_spans"][-1]
    last["token_start"] = alignment["thinking_spans"][-1]["token_end"]  # as the renderer has it
    for key in ("assistant_spans", "thinking_spans"):
        alignment[key] = cut_spans(alignment[key], cut, [whole])
    return render


@pytest.mark.parametrize(
    ("kept", "span"),
    [(13, (8, 13)), (12, (8, 12)), (10, (8, 10)), (9, (8, 9)), (8, None)],
)
def test_a_cut_inside_the_reasoning_leaves_what_is_before_it(
    kept: int, span: tuple[int, int] | None
) -> None:
    assert completion_span(cut_behind(kept)) == span


def test_a_window_that_moved_the_turn_begins_it_with_its_reasoning() -> None:
    render = cut_behind(13)
    del render["prompt"]
    render["render_options"]["truncation_side"] = "window"
    assert (completion_start(render), completion_span(render)) == (8, (8, 13))


def test_a_last_message_of_several_turns_has_a_stretch_for_each() -> None:
    """As where template_fit gives text beside calls a turn of its own, or its results between."""
    turns = [
        Turn("user", ["<user>"], ["hi"]),
        Turn("assistant", ["<asst>"], [Thinking(["<think>", "hm", "</think>"]), "look", "<end>"]),
        Turn("tool", ["<tool>"], ["ok"]),
        Turn("assistant", ["<asst>"], ["call", "<end>"]),
    ]
    render, tokens = build_render(turns)
    alignment = render["alignment"]
    first, second = alignment["assistant_spans"]
    second["message_index"] = first["message_index"]
    first["token_start"] = alignment["thinking_spans"][0]["token_end"]
    render["prompt"]["length"] = 3
    spans = completion_spans(render)
    assert [tokens[start:end] for start, end in spans] == [
        ["<think>", "hm", "</think>", "look", "<end>"],
        ["call", "<end>"],
    ]
    assert completion_span(render) == (spans[0][0], spans[1][1])
