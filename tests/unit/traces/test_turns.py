"""Where a completion begins in a render, cut or whole."""

from __future__ import annotations

import pytest

from cbdata.traces.turns import completion_start
from tests.conversations import SHORT, Turn, agent_turns, build_render


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
