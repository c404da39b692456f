"""Shards and their merge: the same requests and the same files however the skeletons
are divided.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.fill.merge import MergeError
from cbdata.ids import shard_of
from cbdata.jsonl import dumps, read_records
from cbdata.schemas import first_error
from cbdata.stage import NothingRead
from tests.unit.fill.world import ToyBackend, World, request_facts


def run_layout(world: World, shards: int, name: str) -> tuple[list[str], dict[str, bytes]]:
    """Requests sent and files made by one layout, each layout with a progress store of its own."""
    own = World(world.folder / name, world.tools, world.skeletons, world.settings)
    requests, files = [], []
    for shard in range(shards):
        backend = ToyBackend(at_once=3 + shard)
        files.append(own.run(backend, shard, shards, attempts=3))
        requests += [request_facts(request) for request in backend.seen]
    merged = own.merge(files)
    return sorted(requests), {
        part: getattr(each, part).read_bytes()
        for each in merged.values()
        for part in ("out", "rejects")
    }


def test_one_shard_and_eight_send_the_same_requests_and_give_the_same_files(world: World) -> None:
    one, eight = run_layout(world, 1, "one"), run_layout(world, 8, "eight")
    assert one == eight
    assert len({shard_of(each, 8) for each in world.ids()}) > 1


def test_rows_stand_in_the_order_of_the_skeletons_and_validate(world: World) -> None:
    files = world.merge([world.run(ToyBackend(), shard, 4) for shard in range(4)])
    order = {trace_id: place for place, trace_id in enumerate(world.ids())}
    for mode, part in files.items():
        rows = [row for _, row in read_records(part.out)]
        places = [order[row["links"]["parent_trace_ids"][0]] for row in rows]
        assert places == sorted(places) and len(rows) > 3
        assert {row["raw_metadata"]["generation"]["mode"] for row in rows} == {mode}
        assert [first_error("trace_v1", row) for row in rows] == [None] * len(rows)
        for _, reject in read_records(part.rejects):
            assert first_error("reject_v1", reject) is None
        assert first_error("stats_v1", orjson.loads(part.stats.read_bytes())) is None


def test_twins_are_linked_where_both_modes_were_accepted(world: World) -> None:
    files = world.merge([world.run(ToyBackend(), attempts=2)])
    traces = {
        mode: {row["links"]["parent_trace_ids"][0]: row for _, row in read_records(part.out)}
        for mode, part in files.items()
    }
    both = set(traces["ds"]) & set(traces["dr"])
    assert both and both != set(traces["ds"])
    for parent, row in traces["ds"].items():
        assert row["links"]["paired_trace_id"] == (
            traces["dr"][parent]["id"] if parent in both else None
        )
    stats = orjson.loads(files["ds"].stats.read_bytes())
    assert stats["details"]["linked_twins"] == len(both)


def test_every_record_is_accounted_for_with_limit_duplicates_and_faults(world: World) -> None:
    records = [record for _, record in read_records(world.skeletons)]
    records[3] = records[1]
    records[5] = {**records[5], "completeness": "complete"}
    records[6] = {"id": records[6]["id"]}
    records[7] = {
        **records[7],
        "raw_metadata": {
            **records[7]["raw_metadata"],
            "tool_schema_ref": {"version": "other", "digest": "0"},
        },
    }
    records[8] = {
        **records[8],
        "tool_attack": {**records[8]["tool_attack"], "simulated_tool": "retrieve_multimodal_docs"},
    }
    world.skeletons.write_bytes(b"".join(map(dumps, records)))
    shards = [world.run(ToyBackend(), shard, 3, limit=10) for shard in range(3)]
    files = world.merge(shards, limit=10)
    for mode, part in files.items():
        stats = orjson.loads(part.stats.read_bytes())
        counts, reasons = stats["counts"], stats["rejected_by_reason"]
        assert (
            counts["records_in"] == 40
            and counts["not_selected"] == 30
            and counts["duplicates"] == 1
        )
        assert counts["records_out"] + counts["rejected"] == 9
        assert (
            reasons["not_a_skeleton"]
            == reasons["invalid_trace"]
            == reasons["tool_schema_missing"]
            == 1
        )
        assert reasons.get("equal_tools", 0) == (1 if mode == "ds" else 0)
        details = stats["details"]
        assert sum(details["outcomes"].values()) == (5 if mode == "ds" else 6)
        assert details["outcomes_by_format"] == {"openai_json": details["completions"]}
        unread = details["completions"].get("no_call", 0) / sum(details["completions"].values())
        assert details["unread_share"] == round(unread, 4)


def test_one_mode_alone_makes_its_file_alone(world: World) -> None:
    files = world.merge([world.run(ToyBackend(), mode="ds")], modes=("ds",))
    rows = [row for _, row in read_records(files["ds"].out)]
    assert rows and all(row["links"]["paired_trace_id"] is None for row in rows)
    assert sorted(path.name for path in (world.folder / "out").iterdir()) == [
        "ds.jsonl",
        "ds.rejects.jsonl",
        "ds.stats.json",
    ]


def test_a_missing_or_foreign_shard_is_an_error_that_names_it(world: World) -> None:
    shards = [world.run(ToyBackend(), shard, 2) for shard in range(2)]
    with pytest.raises(MergeError, match="no shard has a row"):
        world.merge(shards[:1])
    with pytest.raises(MergeError, match="stands at"):
        world.merge([shards[0], shards[0]])
    short = world.folder / "short"
    short.mkdir()
    smaller = World(short, world.tools, world.skeletons.with_name("short.jsonl"))
    smaller.skeletons.write_bytes(
        b"".join(dumps(record) for _, record in list(read_records(world.skeletons))[:5])
    )
    with pytest.raises(MergeError, match="does not have"):
        smaller.merge(shards)
    shards[1].write_bytes(b"\n".join(shards[1].read_bytes().split(b"\n")[:-2]) + b"\n")
    with pytest.raises(MergeError, match="closing rows"):
        world.merge(shards)


def test_a_shard_without_skeletons_gives_a_whole_file(world: World) -> None:
    few = world.folder / "few"
    few.mkdir()
    only = World(few, world.tools, world.skeletons.with_name("few.jsonl"), world.settings)
    only.skeletons.write_bytes(
        b"".join(dumps(record) for _, record in list(read_records(world.skeletons))[:2])
    )
    shards = [only.run(ToyBackend(), shard, 8) for shard in range(8)]
    assert orjson.loads(only.merge(shards)["ds"].stats.read_bytes())["counts"]["records_in"] == 2


def test_few_accepted_completions_are_a_warning_with_the_reason_and_what_helps(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    shard = world.run(ToyBackend())
    world.merge([shard], warn_above=1.0)
    assert "completions were accepted" not in caplog.text
    world.merge([shard], warn_above=0.0)
    assert re.search(r"fujitsu_b4_ds: \d+ of \d+ completions were accepted; \d+ were", caplog.text)
    assert "Hint: " in caplog.text


def test_a_file_without_skeletons_is_an_error(world: World) -> None:
    world.skeletons.write_text("")
    with pytest.raises(NothingRead, match=r"holds no skeleton\. Hint: look at skeleton_traces"):
        world.merge([world.run(ToyBackend())])


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change every row of a shard file or every record of a skeleton file."""
    records = [record for _, record in read_records(path)]
    for record in records:
        change(record)
    path.write_bytes(b"".join(map(dumps, records)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[3:4] + lines[1:3] + lines[:1] + lines[4:], "a row of the skeleton"),
        (lambda lines: lines[1:] + lines[:1], "a row of the skeleton"),
        (lambda lines: lines[1:], "a row of the skeleton"),
        (lambda lines: [*lines, lines[0].replace(b"trace_", b"trace_x")], "no shard has a row"),
    ],
)
def test_a_row_of_another_skeleton_than_the_file_has_is_an_error(
    world: World, change: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    shards = [world.run(ToyBackend(), shard, 2) for shard in range(2)]
    lines = world.skeletons.read_bytes().splitlines(keepends=True)
    world.skeletons.write_bytes(b"".join(change(lines)))
    with pytest.raises(MergeError, match=message):
        world.merge(shards)
    assert not (world.folder / "out/ds.jsonl").exists()


def test_a_skeleton_that_changed_under_its_id_is_an_error_until_the_shard_is_made_again(
    world: World,
) -> None:
    shard = world.run(ToyBackend())

    def louder(record: dict[str, Any]) -> None:
        if record["id"] == world.ids()[5]:
            record["messages"][0]["content"] += " Be brief."

    rewrite(world.skeletons, louder)
    with pytest.raises(MergeError, match=r"as it was before .*:6 was changed.*--forcerun"):
        world.merge([shard])
    again = ToyBackend()
    world.merge([world.run(again)])
    assert {request.trace_id for request in again.seen} == {world.ids()[5]}


def test_white_space_and_the_order_of_keys_are_no_change(world: World) -> None:
    shard = world.run(ToyBackend())
    records = [record for _, record in read_records(world.skeletons)]
    world.skeletons.write_text(
        "".join(json.dumps(dict(reversed(record.items()))) + "\n" for record in records)
    )
    world.merge([shard])


def test_shard_files_of_earlier_versions_are_merged_and_compared_by_id(world: World) -> None:
    records = [record for _, record in read_records(world.skeletons)]
    records[3] = records[1]
    world.skeletons.write_bytes(b"".join(map(dumps, records)))
    shard = world.run(ToyBackend(), attempts=2)

    def older(row: dict[str, Any]) -> None:
        row.pop("record_sha256", None)
        row.pop("cached_prompt_tokens", None)
        if row["row"] != "reject":
            row.pop("record_id", None)

    expected = world.merge([shard])
    rewrite(shard, older)
    for mode, part in world.merge([shard], into="older").items():
        assert part.out.read_bytes() == expected[mode].out.read_bytes()
    records[0], records[2] = records[2], records[0]
    world.skeletons.write_bytes(b"".join(map(dumps, records)))
    with pytest.raises(MergeError, match="a row of the skeleton"):
        world.merge([shard])


def test_twins_with_one_answer_are_rejects(world: World) -> None:
    shard = world.run(ToyBackend(), attempts=4)
    before = world.merge([shard])
    pairs = {
        record["links"]["parent_trace_ids"][0]: record
        for _, record in read_records(before["ds"].out)
        if record["links"]["paired_trace_id"]
    }
    chosen = sorted(pairs)[:2]

    def alike(row: dict[str, Any]) -> None:
        if row["row"] == "trace" and row["record_id"] in chosen:
            row["trace"]["messages"][-1] = pairs[row["record_id"]]["messages"][-1]

    rewrite(shard, alike)
    for mode, part in world.merge([shard]).items():
        rejects = [row for _, row in read_records(part.rejects)]
        found = [row for row in rejects if row["reason"] == "identical_twins"]
        assert sorted(row["record_id"] for row in found) == chosen
        for row in found:
            assert first_error("reject_v1", row) is None
            generation = row["raw"]["trace"]["raw_metadata"]["generation"]
            assert generation["mode"] == mode
            assert row["raw"]["trace"]["links"]["paired_trace_id"] is None
        left = {row["links"]["parent_trace_ids"][0] for _, row in read_records(part.out)}
        assert not left & set(chosen)
        stats = orjson.loads(part.stats.read_bytes())
        assert stats["rejected_by_reason"]["identical_twins"] == 2
        assert stats["details"]["linked_twins"] == len(pairs) - 2


def test_the_stats_say_what_the_prefix_cache_held(world: World) -> None:
    shards = [world.run(ToyBackend(cached=10), 0, 2), world.run(ToyBackend(), 1, 2)]
    prompts = [list(read_records(shard))[-1][1]["prompt_tokens"] for shard in shards]
    sent = len(list(read_records(shards[0]))) - 1
    told = orjson.loads(world.merge(shards)["ds"].stats.read_bytes())["details"]["throughput"]
    assert told["cached_prompt_tokens"] == 10 * sent
    assert told["prefix_cache_hit_rate"] == round(10 * sent / prompts[0], 4)
    assert told["prefix_cache"].endswith(f"of {prompts[0]:,} prompt tokens")
    none = orjson.loads(world.merge(shards, into="x")["dr"].stats.read_bytes())
    assert none["details"]["throughput"] == told
    other = World(world.folder / "other", world.tools, world.skeletons, world.settings)
    stats = orjson.loads(other.merge([other.run(ToyBackend())])["ds"].stats.read_bytes())
    assert stats["details"]["throughput"]["prefix_cache_hit_rate"] is None
    assert "not applicable" in stats["details"]["throughput"]["prefix_cache"]
