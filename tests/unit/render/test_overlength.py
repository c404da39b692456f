"""Cuts: which tokens stay, where spans move."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.rejects import Reject
from cbdata.render.overlength import Cut, choose_cut, cut_commitments, cut_spans


def turn(role: str, start: int, end: int) -> dict[str, Any]:
    return {"role": role, "token_start": start, "token_end": end}


# BOS, system 1-10, newline, user 11-30, newline, assistant 31-60, newline, tool 61-70, newline,
# assistant 71-80, newline
TURNS = [
    turn("system", 1, 10),
    turn("user", 11, 30),
    turn("assistant", 31, 60),
    turn("tool", 61, 70),
    turn("assistant", 71, 80),
]
LENGTH = 81


def test_short_enough_is_left_alone() -> None:
    assert choose_cut(LENGTH, LENGTH, "truncate", TURNS) == Cut(81, 81, 81, "none")


def test_truncate_keeps_the_beginning() -> None:
    cut = choose_cut(LENGTH, 50, "truncate", TURNS)
    assert (cut.head, cut.kept, cut.side) == (50, 50, "right")
    spans = cut_spans(TURNS, cut, [("token_start", "token_end")])
    assert [(span["role"], span["token_start"], span["token_end"]) for span in spans] == [
        ("system", 1, 10),
        ("user", 11, 30),
        ("assistant", 31, 50),
    ]


def test_reject_says_how_long() -> None:
    with pytest.raises(Reject, match="too_long: 81 tokens, max_length is 80"):
        choose_cut(LENGTH, 80, "reject", TURNS)


def test_window_keeps_the_system_message_and_whole_turns_from_the_end() -> None:
    cut = choose_cut(LENGTH, 40, "window", TURNS)
    assert (cut.head, cut.tail, cut.kept, cut.side) == (11, 61, 31, "window")
    spans = cut_spans(TURNS, cut, [("token_start", "token_end")])
    assert [(span["role"], span["token_start"], span["token_end"]) for span in spans] == [
        ("system", 1, 10),
        ("tool", 11, 20),
        ("assistant", 21, 30),
    ]


def test_window_cuts_into_a_turn_that_is_longer_than_the_room() -> None:
    cut = choose_cut(LENGTH, 16, "window", TURNS)
    assert (cut.head, cut.tail, cut.kept) == (11, 76, 16)
    assert cut_spans(TURNS, cut, [("token_start", "token_end")])[-1] == turn("assistant", 11, 15)


def test_window_without_a_system_message_or_without_room() -> None:
    cut = choose_cut(LENGTH, 20, "window", TURNS[1:])
    assert (cut.head, cut.tail) == (0, 61)
    with pytest.raises(Reject, match="window_too_small"):
        choose_cut(LENGTH, 11, "window", TURNS)


def test_commitments_outside_go() -> None:
    def row(first: int, last: int) -> dict[str, Any]:
        return {"commitment_token_idx": last, "prefix_token_indices": list(range(first, last + 1))}

    cut = Cut(11, 61, 81, "window")
    assert cut_commitments([row(5, 6), row(40, 41), row(60, 61), row(61, 63)], cut) == [
        row(5, 6),
        row(11, 13),
    ]
    assert cut_commitments([row(48, 50), row(49, 50)], Cut(51, 81, 81, "right")) == [
        row(48, 50),
        row(49, 50),
    ]
    assert cut_commitments([row(48, 50)], Cut(50, 81, 81, "right")) == []


@given(st.integers(1, 60), st.integers(0, 60), st.sampled_from(["truncate", "window"]), st.data())
def test_kept_tokens_are_those_that_holds_names_and_spans_follow_them(
    length: int, cut_at: int, mode: str, data: st.DataObject
) -> None:
    edges = sorted(data.draw(st.sets(st.integers(0, length), min_size=2, max_size=6)))
    turns = [
        turn("system" if index == 0 else "user", low, high)
        for index, (low, high) in enumerate(itertools.pairwise(edges))
    ]
    reason = None
    try:
        cut = choose_cut(length, max(cut_at, 1), mode, turns)
    except Reject as error:
        reason = error.reason
    if reason is not None:
        assert reason == "window_too_small"
        return
    kept = [token for token in range(length) if cut.holds(token)]
    assert len(kept) == cut.kept <= max(cut_at, 1)
    moved = cut_spans(turns, cut, [("token_start", "token_end")])
    expected = [
        [
            kept.index(token)
            for token in range(span["token_start"], span["token_end"])
            if token in kept
        ]
        for span in turns
    ]
    assert [list(range(span["token_start"], span["token_end"])) for span in moved] == [
        places for places in expected if places
    ]
