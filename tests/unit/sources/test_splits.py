"""Split assignment: by name, or by a hash of what must stay together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbdata.sources import SourceError
from cbdata.sources.splits import SplitAssigner, query_key


def test_a_name_is_the_split_of_everything() -> None:
    assign = SplitAssigner("train")
    assert {assign(key) for key in ("", "a", "b")} == {"train"}


def test_fractions_are_met_within_sampling_error() -> None:
    """4,000 keys at 0.1: the binomial standard deviation is 19, the bound is five of them."""
    assign = SplitAssigner({"train": 0.9, "eval": 0.1})
    share = sum(assign(f"query {index}") == "eval" for index in range(4000))
    assert abs(share - 400) < 95


@settings(deadline=None)
@given(st.text())
def test_the_order_of_the_names_does_not_count(key: str) -> None:
    assert SplitAssigner({"train": 0.7, "eval": 0.2, "dev": 0.1})(key) == SplitAssigner(
        {"dev": 0.1, "train": 0.7, "eval": 0.2}
    )(key)


@settings(deadline=None)
@given(st.text())
def test_a_split_of_nothing_is_never_assigned(key: str) -> None:
    assert SplitAssigner({"train": 1.0, "eval": 0.0})(key) == "train"


def test_more_of_one_split_moves_no_record_out_of_it() -> None:
    smaller, larger = (
        SplitAssigner({"eval": 0.1, "train": 0.9}),
        SplitAssigner({"eval": 0.2, "train": 0.8}),
    )
    keys = [f"query {index}" for index in range(500)]
    assert {key for key in keys if smaller(key) == "eval"} < {
        key for key in keys if larger(key) == "eval"
    }


@pytest.mark.parametrize(
    "split",
    [
        "",
        {},
        {"train": 0.5},
        {"train": 1.2, "eval": -0.2},
        {"train": True},
        {"train": "1"},
        {"a": float("nan")},
    ],
)
def test_what_is_no_split_is_an_error(split) -> None:
    with pytest.raises(SourceError, match="split: expected"):
        SplitAssigner(split)


@pytest.mark.parametrize(
    "other",
    [
        "show me  the plan",
        "Show me the plan!",
        " SHOW ME\tTHE PLAN?",
        "Show me, the plan.",
        "Ｓｈｏｗ me the plan",
    ],
)
def test_trivial_rewordings_share_a_key(other: str) -> None:
    assert query_key(other) == query_key("Show me the plan.")


def test_other_words_and_other_scripts_are_other_keys() -> None:
    keys = {
        query_key(query)
        for query in (
            "Show me the plan.",
            "Show me a plan.",
            "東京の天気",
            "大阪の天気",
            "???",
            "!!!",
        )
    }
    assert len(keys) == 6


HALVES = {"train": 0.5, "eval": 0.5}
KEYS = st.text(max_size=4)


@settings(deadline=None)
@given(task=KEYS, injection=st.none() | KEYS)
def test_what_a_trace_s_split_goes_by(task: str, injection: str | None) -> None:
    by_task, by_injection, by_both = (
        SplitAssigner(HALVES, split_by).of(task, injection)
        for split_by in ("task", "injection", "both")
    )
    assert by_task == SplitAssigner(HALVES)(task)
    if injection is None:
        assert by_injection == by_both == by_task
        return
    assert by_injection == SplitAssigner(HALVES, "injection").of("another task", injection)
    assert by_both == (by_task if by_task == by_injection else None)


@settings(deadline=None)
@given(st.lists(st.tuples(KEYS, KEYS), max_size=30))
def test_by_both_no_key_of_either_kind_stands_in_two_splits(pairs: list[tuple[str, str]]) -> None:
    assign = SplitAssigner(HALVES, "both")
    for kind in (0, 1):
        seen: dict[str, str] = {}
        for pair in pairs:
            split = assign.of(*pair)
            assert split is None or seen.setdefault(pair[kind], split) == split


def test_a_task_and_an_injection_of_the_same_words_are_assigned_apart() -> None:
    """Otherwise tasks that quote their injection would never fall apart, and the shares would be
    those of one hash.
    """
    assign = SplitAssigner(HALVES, "both")
    kept = sum(assign.of(f"key {number}", f"key {number}") is not None for number in range(400))
    assert 140 < kept < 260


def test_one_name_is_no_conflict() -> None:
    assert {SplitAssigner("train", "both").of(task, "x") for task in "abc"} == {"train"}
