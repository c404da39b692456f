"""StageWriter: the conservation law, and files that appear together or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.atomic_file import FileError
from cbdata.conservation import check_run
from cbdata.rejects import Reject
from cbdata.schemas import first_error
from cbdata.stage import (
    ConservationError,
    StageFiles,
    StageWriter,
    TooManyRejects,
    UndeclaredReason,
)
from tests.unit.full_disk import full_disk

REASONS = {"not_json": "not JSON", "bad": "made bad for a test", "r": "made for a test"}


def writer(folder: Path, **options: float) -> StageWriter:
    return StageWriter(
        "etl_a",
        "demo",
        StageFiles.of(folder / "out.jsonl", folder / "rejects.jsonl", folder / "stats.json"),
        REASONS,
        **options,
    )


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_counts_rejects_and_stats_are_published_together(tmp_path: Path) -> None:
    with writer(tmp_path) as stage:
        stage.header()
        stage.take(4)
        stage.emit({"id": "a"})
        stage.reject(
            Reject("not_json", "line ends early"), file="raw.jsonl", line=3, raw=b'{"a": \xff'
        )
        stage.duplicate()
        stage.not_selected()
        assert not (tmp_path / "out.jsonl").exists()
    assert files(tmp_path) == ["out.jsonl", "rejects.jsonl", "stats.json"]
    reject = json.loads((tmp_path / "rejects.jsonl").read_text())
    assert reject == {
        "stage": "etl_a",
        "file": "raw.jsonl",
        "line": 3,
        "record_id": None,
        "reason": "not_json",
        "detail": "line ends early",
        "raw": '{"a": \\xff',
    }
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert stats["counts"] == {
        "records_in": 4,
        "records_out": 1,
        "rejected": 1,
        "duplicates": 1,
        "not_selected": 1,
        "headers": 1,
    }
    assert stats["rejected_by_reason"] == {"not_json": 1}
    assert first_error("stats_v1", stats) is None
    assert first_error("reject_v1", reject) is None


def test_a_lost_record_fails_and_publishes_nothing(tmp_path: Path) -> None:
    def attempt() -> None:
        with writer(tmp_path) as stage:
            stage.take(2)
            stage.emit({"id": "a"})

    with pytest.raises(ConservationError, match="2 records in, 1 accounted for"):
        attempt()
    assert files(tmp_path) == []


def test_an_error_leaves_the_files_of_the_last_run(tmp_path: Path) -> None:
    with writer(tmp_path) as stage:
        stage.take()
        stage.emit({"id": "old"})

    def attempt() -> None:
        with writer(tmp_path) as stage:
            stage.take()
            stage.emit({"id": "new"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attempt()
    assert (tmp_path / "out.jsonl").read_text() == '{"id":"old"}\n'
    assert files(tmp_path) == ["out.jsonl", "rejects.jsonl", "stats.json"]


@pytest.mark.parametrize(("rejects", "fails"), [(1, False), (2, True)])
def test_max_reject_fraction(tmp_path: Path, rejects: int, fails: bool) -> None:
    def run() -> None:
        with writer(tmp_path, max_reject_fraction=0.25) as stage:
            stage.take(4)
            for number in range(4):
                if number < rejects:
                    stage.reject(Reject("bad", ""), file="f", line=number + 1)
                else:
                    stage.emit({"n": number})

    if fails:
        with pytest.raises(TooManyRejects, match=r"2 of 4 records rejected[\s\S]*2  bad"):
            run()
    else:
        run()


def refuse(folder: Path) -> str:
    """The message of a stage that rejects three records of four."""
    hostile = "\x1b[31m{0}%s\n<b>" + "x" * 1000

    def attempt() -> None:
        with writer(folder, max_reject_fraction=0.5) as stage:
            stage.take(4)
            stage.emit({"n": 1})
            stage.reject(Reject("bad", "second line"), file="a.jsonl", line=7)
            stage.reject(Reject("bad", "another"), file="b.jsonl", line=8)
            stage.reject(Reject("r", hostile), file="runs/\x07.json", line=None, raw=b"raw")

    with pytest.raises(TooManyRejects) as caught:
        attempt()
    return str(caught.value)


def test_too_many_rejects_say_where_the_first_of_each_reason_is(tmp_path: Path) -> None:
    lines = refuse(tmp_path).splitlines()
    assert lines[1] == "         2  bad: a.jsonl:7: second line"
    assert lines[2].startswith("         1  r: runs/\\x07.json: \\x1b[31m{0}%s\\n<b>xxx")
    assert lines[2].endswith("x...") and len(lines[2]) < 400 and lines[2].isprintable()
    assert lines[3] == f"All of them: {tmp_path / 'rejects.refused.jsonl'}"


def test_the_reject_file_of_a_refused_stage_is_kept_until_one_succeeds(tmp_path: Path) -> None:
    with writer(tmp_path) as stage:
        stage.take()
        stage.emit({"id": "earlier"})
    earlier = {path: path.read_bytes() for path in tmp_path.iterdir()}
    refuse(tmp_path)
    kept = tmp_path / "rejects.refused.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(row["reason"], row["line"]) for row in rows] == [("bad", 7), ("bad", 8), ("r", None)]
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path != kept} == earlier
    with writer(tmp_path) as stage:
        stage.take()
        stage.emit({"id": "later"})
    assert files(tmp_path) == ["out.jsonl", "rejects.jsonl", "stats.json"]


@given(
    st.lists(st.sampled_from(["emit", "reject", "duplicate", "not_selected", "lost"]), max_size=30)
)
def test_the_law_holds_for_every_course_of_events(
    tmp_path_factory: pytest.TempPathFactory, events: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("stage")
    actions = {
        "emit": lambda s: s.emit({"x": 1}),
        "reject": lambda s: s.reject(Reject("r", ""), file="f", line=1),
        "duplicate": StageWriter.duplicate,
        "not_selected": StageWriter.not_selected,
        "lost": lambda s: None,
    }

    def run() -> None:
        with writer(folder) as stage:
            for event in events:
                stage.take()
                actions[event](stage)

    if "lost" in events:
        with pytest.raises(ConservationError):
            run()
        assert files(folder) == []
    else:
        run()
        table, data = check_run(
            [
                (
                    str(folder / "stats.json"),
                    str(folder / "out.jsonl"),
                    str(folder / "rejects.jsonl"),
                )
            ],
            {},
        )
        assert data["stages"][0]["records_in"] == len(events)
        assert "demo" in table


def test_a_reason_that_the_stage_did_not_declare_ends_the_stage(tmp_path: Path) -> None:
    def attempt() -> None:
        with writer(tmp_path) as stage:
            stage.take()
            stage.reject(Reject("invented", "x"), file="f", line=1)

    with pytest.raises(UndeclaredReason, match="invented"):
        attempt()
    assert files(tmp_path) == []


def test_a_full_disk_publishes_nothing(tmp_path: Path) -> None:
    with writer(tmp_path) as stage:
        stage.take()
        stage.emit({"id": "earlier"})
    earlier = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def attempt() -> None:
        with writer(tmp_path) as stage:
            stage.take()
            stage.emit({"id": "later"})

    with full_disk(), pytest.raises(FileError, match=r"out\.jsonl could not be written"):
        attempt()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == earlier
