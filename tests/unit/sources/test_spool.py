"""Duplicates, conflicts and shared names among spooled traces."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.atomic_file import FileError
from cbdata.disk_table import SortError
from cbdata.sources import SourceError
from cbdata.sources.reasons import READING
from cbdata.sources.spool import Entry, Spool
from cbdata.stage import StageFiles, StageWriter
from tests.unit.full_disk import full_disk


def trace(number: int, raw_id: str | None = None) -> bytes:
    source = {
        "file": "a.jsonl",
        "record_locator": {"kind": "line", "value": number},
        "model_id": "m",
        "defense": None,
    }
    return (
        orjson.dumps(
            {"n": number, "source": source, "links": {"raw_id": raw_id}, "signal_hints": {}}
        )
        + b"\n"
    )


Rows = list[dict[str, Any]]


def settle(
    folder: Path,
    entries: list[Entry],
    alias_flag: str | None = None,
    class_caps: dict[str, int] | None = None,
) -> tuple[Rows, Rows, dict[str, Any], Spool]:
    with (
        StageWriter(
            "etl_a",
            "x",
            StageFiles.of(folder / "out", folder / "rejects", folder / "stats"),
            READING,
        ) as writer,
        Spool(folder / "out", class_caps) as spool,
    ):
        for number, entry in enumerate(entries, start=1):
            writer.take()
            spool.add(trace(number, entry.alias), entry)
        facts = spool.settle(writer, alias_flag)
        counts = writer.counts()
        left = ("duplicates", "records_out", "rejected", "not_selected")
        assert sum(counts[key] for key in left) == len(entries)
    rows = [
        [orjson.loads(line) for line in (folder / name).read_bytes().splitlines()]
        for name in ("out", "rejects")
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["out", "rejects", "stats"]
    return rows[0], rows[1], facts, spool


def entry(key: str, verdict: str = "v", rank: int = 0, alias: str | None = None) -> Entry:
    return Entry(key, verdict, rank, alias, (("rank", str(rank)), ("all", "x")))


def test_the_best_rank_survives_then_the_earliest_and_names_its_copies(tmp_path: Path) -> None:
    kept, rejected, facts, spool = settle(
        tmp_path, [entry("a", rank=1), entry("b"), entry("a"), entry("c"), entry("a"), entry("b")]
    )
    assert [row["n"] for row in kept] == [2, 3, 4]
    assert [[twin["line"] for twin in row["links"].get("duplicates", [])] for row in kept] == [
        [6],
        [5, 1],
        [],
    ]
    assert rejected == [] and spool.conflicts == 0
    assert facts == {"all": {"x": 3}, "rank": {"0": 3}}


def test_copies_that_disagree_are_all_rejected(tmp_path: Path) -> None:
    kept, rejected, facts, spool = settle(
        tmp_path,
        [entry("a"), entry("b", "harmful"), entry("b", "benign"), entry("c"), entry("b", "benign")],
    )
    assert [row["n"] for row in kept] == [1, 4] and spool.conflicts == 1
    assert [(row["line"], row["reason"]) for row in rejected] == [
        (2, "conflicting_labels"),
        (3, "conflicting_labels"),
        (5, "conflicting_labels"),
    ]
    assert (
        rejected[0]["detail"]
        == "3 records with the same messages carry different labels: benign, harmful"
    )
    assert facts["all"] == {"x": 2}


def test_a_shared_name_flags_all_who_have_it_unless_they_are_copies(tmp_path: Path) -> None:
    entries = [
        entry(key, alias=alias)
        for key, alias in (
            ("a", "r"),
            ("b", "r"),
            ("b", "r"),
            ("c", "s"),
            ("c", "s"),
            ("d", None),
            ("e", None),
        )
    ]
    kept, _, facts, _ = settle(tmp_path, entries, "name_repeated")
    assert [(row["n"], row["signal_hints"].get("record_flags")) for row in kept] == [
        (1, ["name_repeated"]),
        (2, ["name_repeated"]),
        (4, None),
        (6, None),
        (7, None),
    ]
    assert [len(row["links"].get("duplicates", [])) for row in kept] == [0, 1, 1, 0, 0]
    assert facts["record_flags"] == {"name_repeated": 2}


def test_many_records_across_batches_keep_their_order_and_bytes(tmp_path: Path) -> None:
    kept, _, _, _ = settle(tmp_path, [entry(f"{number % 1700}") for number in range(3000)])
    assert [row["n"] for row in kept] == list(range(1, 1701))
    assert all(
        len(row["links"].get("duplicates", [])) == (1 if row["n"] <= 1300 else 0) for row in kept
    )
    assert (tmp_path / "out").read_bytes().splitlines(keepends=True)[1500] == trace(1501)


def test_nothing_and_an_error_leave_no_files_behind(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no record"):
        settle(tmp_path / "empty", [])

    def attempt() -> None:
        with Spool(tmp_path / "out") as spool:
            spool.add(trace(1), entry("a"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        attempt()
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("limit", [0, 8192, 1 << 20])
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    """The spool fails when it makes its index, when it fills it, and when it writes lines."""

    def attempt() -> None:
        with Spool(tmp_path / "out") as spool:
            for number in range(3000):
                spool.add(b"x" * 1000 + b"\n", entry(f"{number}"))

    with full_disk(limit), pytest.raises(FileError, match=r"out\.(lines|index)\..*Hint"):
        attempt()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_under_what_is_sorted_names_its_folder_too(tmp_path: Path) -> None:
    """SQLite sorts in TMPDIR, which may be another file system than the outputs'."""

    def attempt() -> None:
        files = StageFiles.of(tmp_path / "out", tmp_path / "rejects", tmp_path / "stats")
        with StageWriter("etl_a", "x", files, READING) as writer, Spool(tmp_path / "out") as spool:
            for number in range(16 * 512):  # so that no row waits to be added
                writer.take()
                spool.add(b"x\n", entry(f"{number:064d}"))
            with full_disk(200_000):
                spool.settle(writer)

    with pytest.raises(SortError, match=r"out\.index.*sorted .* in /.*TMPDIR"):
        attempt()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_job_spooled_goes_with_the_next_job_of_that_output(tmp_path: Path) -> None:
    left = [tmp_path / f".{name}.node.1.part" for name in ("out.lines", "out.index", "other.lines")]
    for path in left:
        path.write_bytes(b"x")
    with Spool(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == left[2:]


def test_what_is_omitted_is_counted_by_its_reason_and_a_copy_that_is_not_stands_for_it(
    tmp_path: Path,
) -> None:
    kept, rejected, facts, _ = settle(
        tmp_path,
        [
            entry("a")._replace(omitted="resisted"),
            entry("b", rank=0)._replace(omitted="split_conflict"),
            entry("b", rank=3),
            entry("c")._replace(omitted="resisted"),
            entry("c")._replace(omitted="resisted"),
            entry("d", "v")._replace(omitted="resisted"),
            entry("d", "w"),
        ],
    )
    assert [row["n"] for row in kept] == [3]
    assert [len(row["links"].get("duplicates", ())) for row in kept] == [1]
    assert facts["not_selected"] == {"resisted": 2}
    assert facts["all"] == {"x": 1}
    assert {row["reason"] for row in rejected} == {"conflicting_labels"} and len(rejected) == 2


def test_a_class_has_no_more_traces_than_its_cap_and_copies_do_not_count(tmp_path: Path) -> None:
    entries = [entry(f"k{number}")._replace(class_id="x") for number in range(20)]
    entries += [entries[3], entry("other")._replace(class_id="y"), entry("none")]
    entries.append(entry("gone")._replace(class_id="x", omitted="resisted"))
    kept, _, facts, _ = settle(tmp_path, entries, class_caps={"x": 7, "y": 5, "z": 0})
    assert len(kept) == 9
    assert facts["not_selected"] == {"class_cap": 13, "resisted": 1}
    folder = tmp_path / "again"
    folder.mkdir()
    again, _, _, _ = settle(folder, entries[::-1], class_caps={"x": 7})
    names = [{entries[row["n"] - 1].id for row in kept}]
    names.append({entries[::-1][row["n"] - 1].id for row in again})
    assert names[0] == names[1]


def test_copies_of_one_record_take_little_more_memory_than_their_rows_in_it(
    tmp_path: Path,
) -> None:
    count = 2_000
    files = StageFiles.of(tmp_path / "out", tmp_path / "rejects", tmp_path / "stats")
    with StageWriter("etl_a", "x", files, READING) as writer, Spool(tmp_path / "out") as spool:
        for number in range(count):
            writer.take()
            spool.add(trace(number), entry("a"))
        tracemalloc.start()
        try:
            spool.settle(writer)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    (row,) = (tmp_path / "out").read_bytes().splitlines()
    assert len(orjson.loads(row)["links"]["duplicates"]) == count - 1
    # The rows as text, once or twice joined, and 24 bytes a copy; as objects, more than ten times.
    assert peak < 6 * len(row)
