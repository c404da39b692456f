"""Which skeletons a shard has."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.fill.skeletons import earlier_ids, shard_skeletons
from cbdata.jsonl import dumps, read_records
from tests.unit.fill.world import World


@pytest.mark.parametrize("shards", [1, 3, 50])
def test_every_record_is_in_one_shard_with_its_copies(world: World, shards: int) -> None:
    records = [record for _, record in read_records(world.skeletons)]
    records.insert(7, records[1])
    world.skeletons.write_bytes(b"".join(map(dumps, records)))
    found = [
        skeleton
        for shard in range(shards)
        for skeleton in shard_skeletons(str(world.skeletons), None, shard, shards)
    ]
    assert sorted(skeleton.line for skeleton in found) == list(range(1, 42))
    assert [skeleton.line for skeleton in found if skeleton.duplicate] == [8]


def test_a_limit_counts_records_of_the_file(world: World) -> None:
    found = [
        skeleton.line
        for shard in range(3)
        for skeleton in shard_skeletons(str(world.skeletons), 10, shard, 3)
    ]
    assert sorted(found) == list(range(1, 11))


def test_an_invalid_record_of_an_earlier_set_makes_no_duplicate(
    world: World, tmp_path: Path
) -> None:
    """It is completed nowhere, so its later copy must be."""
    records = [record for _, record in read_records(world.skeletons)]
    earlier = tmp_path / "earlier.jsonl"
    broken, sound, beyond = records[0], records[1], records[2]
    lines = [{**broken, "messages": 3}, {"id": 3}, sound, beyond]
    earlier.write_bytes(b"".join(map(dumps, lines)))
    assert earlier_ids([str(earlier)], 3) == {sound["id"]}
    own = shard_skeletons(str(world.skeletons), None, 0, 1, earlier_ids([str(earlier)], 3))
    assert [each.trace_id for each in own if each.duplicate] == [sound["id"]]


def test_an_invalid_record_is_a_fault_and_no_duplicate(world: World) -> None:
    world.skeletons.write_bytes(dumps({"id": "a"}) + dumps({"id": "a"}) + dumps({"id": 3}))
    found = list(shard_skeletons(str(world.skeletons), None, 0, 1))
    assert [(each.trace_id, each.duplicate) for each in found] == [
        ("a", False),
        ("a", False),
        ("line 3", False),
    ]
    assert all(each.fault is not None and each.fault.reason == "invalid_trace" for each in found)
