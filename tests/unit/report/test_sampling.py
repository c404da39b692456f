"""The sample that the page holds where all records would be too many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cbdata.report.sampling import Sample

ITEMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 20)), max_size=60)


def run(records: list[tuple[str, int]], budget: int) -> list[int]:
    sample = Sample()
    for index, (stratum, size) in enumerate(records):
        sample.add(index, stratum, str(index), size)
    return list(sample.choose(budget))


@given(ITEMS, st.integers(0, 400))
def test_everything_if_it_fits_else_a_sample_within_the_budget_in_order(
    records: list[tuple[str, int]], budget: int
) -> None:
    chosen = run(records, budget)
    assert chosen == sorted(set(chosen))
    total = sum(size for _, size in records)
    if total <= budget:
        assert len(chosen) == len(records)
    else:
        assert chosen
        assert sum(records[index][1] for index in chosen) <= budget or len(chosen) == 1
    assert chosen == run(records, budget)


def test_a_rare_stratum_is_there_in_full_before_a_large_one_fills_the_rest() -> None:
    records = [("rare" if index in (17, 600) else "common", 1) for index in range(1000)]
    chosen = run(records, 100)
    assert len(chosen) == 100 and {17, 600} <= set(chosen)


def test_the_sample_does_not_depend_on_what_else_is_in_other_strata() -> None:
    first, second = Sample(), Sample()
    second.add("z", 1, "z", 1)
    for name in "abcdef":
        first.add(name, 0, name, 1)
        second.add(name, 0, name, 1)
    assert set(first.choose(3)) <= set(second.choose(4))
