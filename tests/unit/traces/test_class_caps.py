"""Class caps: at most so many traces, the same whatever the order, twins together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cbdata.jsonl import dumps
from cbdata.traces.class_caps import ClassCaps


def trace(number: int, class_id: str, parent: int | None = None) -> dict[str, Any]:
    links = {} if parent is None else {"parent_trace_ids": [f"skeleton_{parent}"]}
    mixture = {"class_id": class_id}
    return {"id": f"{class_id}_{number}", "links": links, "training": {"mixture": mixture}}


def taken(path: Path, rows: list[dict[str, Any]], caps: dict[str, int]) -> list[str]:
    path.write_bytes(b"".join(map(dumps, rows)))
    limits = ClassCaps(path, caps)
    return [row["id"] for row in rows if not limits.leaves_out(row)]


@given(
    sizes=st.dictionaries(st.sampled_from("abc"), st.integers(0, 12)),
    caps=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 8)),
    random=st.randoms(use_true_random=False),
)
def test_as_many_as_allowed_are_taken_and_order_does_not_matter(
    tmp_path_factory: Any, sizes: dict[str, int], caps: dict[str, int], random: Any
) -> None:
    path = tmp_path_factory.mktemp("caps") / "traces.jsonl"
    rows = [trace(number, name) for name, size in sizes.items() for number in range(size)]
    first = taken(path, rows, caps)
    for name, size in sizes.items():
        count = sum(each.startswith(f"{name}_") for each in first)
        assert count == min(size, caps.get(name, size))
    random.shuffle(rows)
    again = taken(path, rows, caps)
    assert sorted(again) == sorted(first)
    kept = [row for row in rows if row["id"] in set(first)]
    assert sorted(taken(path, kept, caps)) == sorted(first)


def test_twins_are_taken_together(tmp_path: Path) -> None:
    harmful = [trace(number, "x/ds", number) for number in range(20)]
    benign = [trace(100 + number, "x/dr", number) for number in range(20)]
    caps = {"x/ds": 5, "x/dr": 5}
    pairs = [
        {row["links"]["parent_trace_ids"][0] for row in rows if row["id"] in kept}
        for rows in (harmful, benign)
        for kept in [set(taken(tmp_path / "rows.jsonl", rows, caps))]
    ]
    assert pairs[0] == pairs[1] and len(pairs[0]) == 5


def test_what_is_no_trace_is_left_to_the_stage(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": "x"}, {"links": 3}, trace(1, "a")]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(map(dumps, rows)))
    limits = ClassCaps(path, {"a": 0})
    assert [limits.leaves_out(row) for row in rows] == [False, False, True]
