"""Counts by category stay bounded, and what is not shown by name is counted still."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cbdata.report.tally import Tally


def test_the_largest_categories_are_shown_in_order_and_the_others_as_one() -> None:
    tally = Tally()
    for name, count in (("c", 3), ("a", 2), ("b", 1), ("d", 1)):
        tally.add((name, "x"), "kind", count)
    assert tally.top(2) == [
        (("a", "x"), {"kind": 2}),
        (("c", "x"), {"kind": 3}),
        (("other (2)", ""), {"kind": 2}),
    ]
    assert [key for key, _ in tally.top(4)] == [("a", "x"), ("b", "x"), ("c", "x"), ("d", "x")]
    assert Tally().top() == []


def test_categories_beyond_the_limit_are_counted_together() -> None:
    tally = Tally(limit=3)
    for number in range(10):
        tally.add((f"{number}",), "kind")
    assert len(tally.counts) == 3
    assert tally.top(2)[-1] == (("other (over 1)",), {"kind": 8})


def test_merging_may_rename_the_kind() -> None:
    first, second = Tally(), Tally(limit=1)
    first.add(("a",), "x", 2)
    second.add(("a",), "y", 3)
    second.add(("b",), "y", 4)
    first.merge(second)
    assert first.counts == {("a",): {"x": 2, "y": 3}} and first.rest == {"y": 4}
    renamed = Tally()
    renamed.merge(first, "all")
    assert renamed.counts == {("a",): {"all": 5}} and renamed.rest == {"all": 4}


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xy"))), st.integers(1, 9))
def test_nothing_is_lost(items: list[tuple[str, str]], bound: int) -> None:
    tally = Tally(limit=bound)
    for name, kind in items:
        tally.add((name,), kind)
    total: Counter[str] = Counter()
    for _, counts in tally.top(max(bound - 1, 1)):
        total.update(counts)
    assert total == Counter(kind for _, kind in items)
