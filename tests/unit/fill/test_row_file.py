"""A shard file holds to fill_row_v1, when it is written and when it is read."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.fill.row_file import join_rows, read_rows, write_rows
from cbdata.jsonl import JsonlError, dumps, read_records
from cbdata.schemas import first_error
from tests.unit.fill.world import ToyBackend, World


@pytest.fixture
def shard(world: World) -> World:
    """A world whose one shard file has rows of every kind, and the line of one of each."""
    records = [record for _, record in read_records(world.skeletons)]
    records[3] = records[1]
    records[5] = {"id": "half"}
    world.skeletons.write_bytes(b"".join(map(dumps, records)))
    world.run(ToyBackend(refuse=(world.ids()[7],)))
    return world


def test_every_row_that_is_written_holds_to_the_schema(shard: World) -> None:
    path = shard.job().sets[0].output
    rows = [row for _, row in read_records(path)]
    assert {row["row"] for row in rows} == {"duplicate", "reject", "trace", "run"}
    assert {row["reason"] for row in rows if row["row"] == "reject"} >= {
        "invalid_trace",
        "engine_refused",
        "no_call",
    }
    assert [first_error("fill_row_v1", row) for row in rows] == [None] * len(rows)
    assert [row for _, row in read_rows(path)] == rows


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("trace", {"mode": "xx"}, "mode: "),
        ("trace", {"line": "one"}, "line: "),
        ("trace", {"trace": None}, "trace: "),
        ("reject", {"reason": "No Call"}, "reason: "),
        ("reject", {"colour": 1}, "a reject row: .*colour"),
        ("duplicate", {"row": "twin"}, "row 'twin', which is none of duplicate, reject"),
        ("duplicate", {"row": ["run"]}, "none of"),
        ("run", {"seconds": -1}, "seconds: "),
        ("run", {"shards": 0}, "shards: "),
    ],
)
def test_a_row_that_was_changed_is_named_with_what_is_wrong(
    shard: World, kind: str, change: dict[str, Any], message: str
) -> None:
    path = shard.folder / "changed.jsonl"
    rows = [row for _, row in read_records(shard.job().sets[0].output)]
    line = next(number for number, row in enumerate(rows) if row["row"] == kind)
    rows[line] |= change
    path.write_bytes(b"".join(map(dumps, rows)))
    with pytest.raises(JsonlError, match=f"changed.jsonl:{line + 1}: .*{message}") as caught:
        list(read_rows(path))
    assert "remove the file and run its rule again" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_the_parts_of_a_shard_are_joined_in_the_order_of_the_skeletons(shard: World) -> None:
    *rows, run = [row for _, row in read_records(shard.job().sets[0].output)]
    parts, works = [shard.folder / f"{number}.part" for number in range(3)], []
    for number, part in enumerate(parts):
        works.append({**run, "seconds": 2.0 + number, "load_seconds": 30.0 - number, "reused": 5})
        write_rows(part, [row for row in rows if row["line"] % 3 == number], works[-1])
    works[1]["cached_prompt_tokens"] = 7
    write_rows(parts[1], [row for row in rows if row["line"] % 3 == 1], works[1])
    joined = join_rows(parts, shard.folder / "joined.jsonl")
    assert [row for _, row in read_rows(shard.folder / "joined.jsonl")] == [*rows, joined]
    assert joined == {
        **run,
        "generated": 3 * run["generated"],
        "reused": 15,
        "prompt_tokens": 3 * run["prompt_tokens"],
        "completion_tokens": 3 * run["completion_tokens"],
        "seconds": 9.0,
        "load_seconds": 30.0,
        "cached_prompt_tokens": 7,
    }
