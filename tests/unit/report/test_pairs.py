"""Pairs and shared prefixes of the twins of small files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbdata.lookup import Place, read_places
from cbdata.lossmask.registry import load_registry
from cbdata.report.collect import RunTallies, collect
from cbdata.report.pairs import PairTally, pair_figures, shared_bin
from tests.records import Corpus, write_jsonl
from tests.unit.held_memory import held_for_each


def place(line: int) -> Place:
    return Place(Path("renders.jsonl"), line, 0, 0)


def filled(tally: PairTally, ds: range, dr: range) -> PairTally:
    for number in ds:
        tally.add(f"skeleton {number}", "harmful", place(number))
    for number in reversed(dr):
        tally.add(f"skeleton {number}", "benign", place(number))
    return tally


def test_pairs_are_the_skeletons_with_both_completions() -> None:
    tally = filled(PairTally(), range(70), range(50, 80))
    assert tally.counts() == {"pairs": 20, "ds": 50, "dr": 10}
    assert sorted(ds.line for ds, _ in tally.sampled()) == list(range(50, 70))


def test_a_sample_holds_both_twins_of_a_pair_in_any_order() -> None:
    sample = filled(PairTally(sample=40), range(1_000), range(1_000)).sampled()
    assert len(sample) == 40 and all(ds.line == dr.line for ds, dr in sample)
    backwards = PairTally(sample=40)
    for number in reversed(range(1_000)):
        backwards.add(f"skeleton {number}", "benign", place(number))
        backwards.add(f"skeleton {number}", "harmful", place(number))
    assert backwards.sampled() == sample


@pytest.mark.parametrize(
    ("shared", "prompt", "name"),
    [
        (12, 10, "the whole prompt"),
        (10, 10, "the whole prompt"),
        (9, 10, "90% or more"),
        (5, 10, "50 to 90%"),
        (1, 10, "10 to 50%"),
        (0, 10, "less than 10%"),
    ],
)
def test_bins_of_shared_prefixes(shared: int, prompt: int, name: str) -> None:
    assert shared_bin(shared, prompt) == name


def test_prefixes_are_those_of_the_renders(tmp_path: Path) -> None:
    corpus = Corpus(pairs=2, validation_pairs=1)
    del corpus.masks[-1]
    corpus.write(tmp_path)
    tallies = RunTallies()
    collect(corpus.dataset(), load_registry(), tallies)
    pairs, prefixes = pair_figures(tallies.pairs)
    assert pairs.table.rows == [
        ("DS and DR: a pair", "2", "66.7%"),
        ("only a DS", "1", "33.3%"),
        ("only a DR", "0", "0.0%"),
    ]

    def shared(ds: dict[str, Any], dr: dict[str, Any]) -> int:
        together = zip(ds["input_ids"], dr["input_ids"], strict=False)
        return next(index for index, (one, other) in enumerate(together) if one != other)

    found = [shared(*corpus.renders[at : at + 2]) for at in (0, 2)]
    assert f"Shared prefixes have {min(found)} to {max(found)} tokens" in prefixes.note
    prompts = [corpus.renders[at]["prompt"]["length"] for at in (0, 2)]
    bins = {shared_bin(part, prompt) for part, prompt in zip(found, prompts, strict=True)}
    assert {row[0] for row in prefixes.table.rows if row[1] != "0"} == bins


def test_earlier_turns_are_no_halves_of_pairs(tmp_path: Path) -> None:
    corpus = Corpus(pairs=1, validation_pairs=0)
    for render in corpus.renders:
        render["last_turn"] = False
    corpus.write(tmp_path)
    tallies = RunTallies()
    collect(corpus.dataset(), load_registry(), tallies)
    assert pair_figures(tallies.pairs) == []


def test_places_are_read_where_they_stand(tmp_path: Path) -> None:
    rows = [{"input_ids": ids, "prompt": {"length": 3}} for ids in ([1, 2, 3, 4], [1, 2, 3, 5])]
    first, second = (found for found, _ in read_places(write_jsonl(tmp_path / "r.jsonl", rows)))
    tally = PairTally()
    tally.add("s", "harmful", first)
    tally.add("s", "benign", second)
    prefixes = pair_figures(tally)[1]
    assert prefixes.table.rows[0] == ("the whole prompt", "1", "100.0%")
    assert prefixes.note.startswith("All 1 pairs. Shared prefixes have 3 to 3 tokens")


def test_a_completion_takes_no_memory_and_counts_once_however_often_it_comes() -> None:
    tally = PairTally(sample=10)

    def add(number: int) -> None:
        for category in ("benign", "harmful")[: 1 + number % 2]:
            tally.add(f"skeleton {number % 3_999}", category, place(number))

    assert held_for_each(tally, add, 4_000) < 6
    assert tally.counts() == {"pairs": 2_000, "ds": 0, "dr": 1_999}
