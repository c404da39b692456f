"""How records are divided among shards: evenly, and those with one prefix together."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbdata.fill.sharding import even_cuts, prefix_key, shard_records
from cbdata.fill.skeletons import record_name
from cbdata.ids import shard_of
from cbdata.jsonl import dumps


def point(name: str, task: str, suite: str = "bank", injection: str = "") -> dict[str, Any]:
    """A decision point: all of a task begin alike."""
    return {
        "id": name,
        "decision_point": {},
        "raw_metadata": {"tool_schema_ref": {"version": suite, "digest": "0"}},
        "messages": [
            {"role": "system", "content": "You work in a bank."},
            {"role": "user", "content": task},
            {"role": "tool", "content": injection or name},
        ],
    }


def layout(path: Path, shards: int, limit: int | None = None) -> list[list[int]]:
    """The lines of each shard."""
    return [
        [line for line, _ in shard_records(str(path), record_name, limit, shard, shards)]
        for shard in range(shards)
    ]


def test_what_begins_alike_has_one_key_and_what_differs_another() -> None:
    first = point("a", "Pay the rent.")
    assert prefix_key(first) == prefix_key(point("b", "Pay the rent.", injection="other"))
    assert prefix_key(first) != prefix_key(point("a", "Pay the bill."))
    assert prefix_key(first) != prefix_key(point("a", "Pay the rent.", suite="travel"))
    assert prefix_key(first) != prefix_key({**first, "tools": [{"type": "function"}]})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tasks=st.lists(st.integers(0, 6), max_size=40),
    copies=st.lists(st.integers(0, 39), max_size=4),
    shards=st.integers(1, 9),
    limit=st.none() | st.integers(1, 40),
)
def test_decision_points_are_divided_evenly_with_as_few_cuts_as_can_be(
    tmp_path: Path, tasks: list[int], copies: list[int], shards: int, limit: int | None
) -> None:
    records = [point(f"id{number}", f"task {task}") for number, task in enumerate(tasks)]
    records += [records[copy] for copy in copies if copy < len(records)]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"".join(map(dumps, records)))
    found = layout(path, shards, limit)
    selected = range(1, min(len(records), limit or len(records)) + 1)
    assert sorted(line for lines in found for line in lines) == list(selected)
    names: dict[str, int] = {}
    keys: dict[Any, set[int]] = defaultdict(set)
    for shard, lines in enumerate(found):
        assert lines == sorted(lines)
        for line in lines:
            record = records[line - 1]
            assert names.setdefault(record["id"], shard) == shard
            keys[prefix_key(record)].add(shard)
    assert sum(len(where) - 1 for where in keys.values()) <= shards - 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tasks=st.lists(st.integers(0, 6), max_size=40),
    points=st.booleans(),
    shards=st.integers(1, 4),
    parts=st.integers(1, 5),
)
def test_the_parts_of_a_shard_are_the_shard_whatever_their_number(
    tmp_path: Path, tasks: list[int], points: bool, shards: int, parts: int
) -> None:
    """So engines_per_job can change between the shards of a run."""
    records = [point(f"id{number}", f"task {task}") for number, task in enumerate(tasks)]
    if not points:
        records = [{"id": record["id"]} for record in records]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"".join(map(dumps, records)))
    for shard, lines in enumerate(layout(path, shards)):
        found = [
            [
                line
                for line, _ in shard_records(
                    str(path), record_name, None, shard, shards, part, parts
                )
            ]
            for part in range(parts)
        ]
        assert sorted(line for each in found for line in each) == lines


@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=60), st.integers(1, 9))
def test_every_shard_has_the_same_work(lengths: list[int], shards: int) -> None:
    cuts = list(even_cuts(lengths, len(lengths), sum(lengths), shards))
    assert cuts == sorted(cuts) and set(cuts) <= set(range(shards))
    mean = sum(lengths) / len(lengths)
    work = [length + mean for length in lengths]
    for shard in range(shards):
        own = sum(each for each, part in zip(work, cuts, strict=True) if part == shard)
        assert abs(own - sum(work) / shards) <= max(work) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("lengths", "shards", "cuts"),
    [
        ([7] * 8, 4, [0, 0, 1, 1, 2, 2, 3, 3]),
        ([7] * 5, 2, [0, 0, 1, 1, 1]),
        # Three short records are as much work as one long one, which lasts as long to complete.
        ([1, 1, 1, 9], 2, [0, 0, 0, 1]),
        ([5], 3, [1]),
        ([], 3, []),
    ],
)
def test_records_count_by_their_number_and_by_their_length(
    lengths: list[int], shards: int, cuts: list[int]
) -> None:
    assert list(even_cuts(lengths, len(lengths), sum(lengths), shards)) == cuts


@pytest.mark.parametrize("shards", [2, 7])
def test_other_skeletons_stay_where_the_hash_of_their_id_says(tmp_path: Path, shards: int) -> None:
    path = tmp_path / "x.jsonl"
    records = [{"id": f"id{number}", "messages": []} for number in range(30)]
    path.write_bytes(b"".join(map(dumps, records)))
    for shard, lines in enumerate(layout(path, shards)):
        assert lines == [
            line
            for line, record in enumerate(records, start=1)
            if shard_of(record["id"], shards) == shard
        ]


def test_a_decision_point_that_is_no_trace_has_a_shard_too(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    broken: list[Any] = [{"messages": 3}, {"messages": ["?", None]}, {"raw_metadata": 1}, {}]
    records = [point("a", "Pay the rent."), *broken]
    path.write_bytes(b"".join(map(dumps, records)))
    assert sorted(line for lines in layout(path, 3) for line in lines) == [1, 2, 3, 4, 5]
