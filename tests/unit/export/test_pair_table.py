"""Both sides of each pair, on disk."""

from __future__ import annotations

from cbdata.export.pair_table import PairTable


def test_pairs_come_in_the_order_of_their_first_sides() -> None:
    table = PairTable()
    assert table.add("b", "benign", [1, "x"])
    assert table.add("a c", "harmful", 2)
    assert table.add("b", "harmful", None)
    assert not table.add("b", "benign", 9)
    assert table.get("b", "benign") == [1, "x"] and table.get("a c", "benign") is None
    assert table.has("b", "harmful") and not table.has("a c", "benign")
    assert list(table.pairs()) == [
        ("b", {"harmful": None, "benign": [1, "x"]}),
        ("a c", {"harmful": 2}),
    ]


def test_a_later_value_takes_the_place_of_an_earlier_one() -> None:
    table = PairTable()
    for pair, side, value in [("p", "harmful", 1), ("q", "benign", 2), ("p", "harmful", 3)]:
        table.set(pair, side, value)
    table.set("p", "benign", 4)
    assert list(table.pairs()) == [("p", {"harmful": 3, "benign": 4}), ("q", {"benign": 2})]
