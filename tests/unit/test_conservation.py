"""The recount of files on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.conservation import ConservationViolation, check_run, skeletons_of, summarise
from cbdata.rejects import Reject
from cbdata.stage import StageFiles, StageWriter

REASONS = {"bad": "made bad for a test"}


@pytest.mark.parametrize("damaged", ["out.jsonl", "rejects.jsonl"])
def test_the_recount_finds_a_line_that_went_missing(tmp_path: Path, damaged: str) -> None:
    with StageWriter(
        "etl_a",
        "demo",
        StageFiles.of(tmp_path / "out.jsonl", tmp_path / "rejects.jsonl", tmp_path / "stats.json"),
        REASONS,
    ) as stage:
        stage.take(4)
        for number in range(2):
            stage.emit({"n": number})
            stage.reject(Reject("bad", ""), file="f", line=number + 1)
    path = tmp_path / damaged
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    with pytest.raises(ConservationViolation, match=r"etl_a/demo.*2.*1 lines"):
        check_run(
            [
                (
                    str(tmp_path / "stats.json"),
                    str(tmp_path / "out.jsonl"),
                    str(tmp_path / "rejects.jsonl"),
                )
            ],
            {},
        )


def test_the_recount_compares_a_stage_with_the_one_before(tmp_path: Path) -> None:
    with StageWriter(
        "render",
        "demo",
        StageFiles.of(tmp_path / "out.jsonl", tmp_path / "r.jsonl", tmp_path / "s.json"),
        REASONS,
    ) as stage:
        stage.take()
        stage.emit({"id": "a"})
    (tmp_path / "traces.jsonl").write_text('{"id":"a"}\n{"id":"b"}\n')
    with pytest.raises(
        ConservationViolation, match="render/demo: read 1 records of a trace file of 2 lines"
    ):
        check_run(
            [(str(tmp_path / "s.json"), str(tmp_path / "out.jsonl"), str(tmp_path / "r.jsonl"))],
            {"demo": str(tmp_path / "traces.jsonl")},
        )


def test_the_recount_compares_cut_decision_points_with_the_traces_they_come_from(
    tmp_path: Path,
) -> None:
    stages = []
    for name, read, traces in (("etl_a", 2, None), ("cut", 5, 3)):
        data = "bank_complete" if name == "etl_a" else "bank_skeletons"
        files = [str(tmp_path / f"{name}_{kind}") for kind in ("stats", "out", "rejects")]
        with StageWriter(name, data, StageFiles.of(files[1], files[2], files[0]), REASONS) as stage:
            stage.take(read)
            for number in range(read):
                stage.emit({"id": number})
            stage.details = {} if traces is None else {"traces": traces}
        stages.append(tuple(files))
    with pytest.raises(
        ConservationViolation, match="cut/bank_skeletons: read 3 traces, bank_complete has 2"
    ):
        check_run(stages, {})


def stage(
    folder: Path, name: str, taken: int, out: int, kind: str = "render", **details: object
) -> tuple[str, str, str]:
    """A stage that put so many of its records out, and what it says of itself."""
    files = [folder / f"{kind}-{name}.{part}" for part in ("jsonl", "rejects.jsonl", "stats.json")]
    with StageWriter(kind, name, StageFiles.of(*files), REASONS) as writer:
        writer.take(taken)
        for number in range(out):
            writer.emit({"n": number})
        for number in range(taken - out):
            writer.reject(Reject("bad", ""), file="f", line=number + 1)
        writer.details.update(details)
    return str(files[2]), str(files[0]), str(files[1])


def test_a_row_for_each_turn_is_compared_with_the_traces_read(tmp_path: Path) -> None:
    """rows: turn counts turns in and out; the trace file has two lines."""
    traces = tmp_path / "traces.jsonl"
    traces.write_text('{"id":"a"}\n{"id":"b"}\n')
    turns = stage(tmp_path, "demo", 5, 4, traces=2)
    masks = stage(tmp_path, "demo", 4, 4, "lossmask", traces=9)
    _, data = check_run([turns, masks], {"demo": str(traces)})
    assert [row["traces"] for row in data["stages"]] == [2, None]
    for details, read in (({"traces": 1}, 1), ({"traces": 3}, 3), ({}, 5)):
        wrong = stage(tmp_path, "demo", 5, 4, **details)
        with pytest.raises(
            ConservationViolation,
            match=f"render/demo: read {read} records of a trace file of 2 lines",
        ):
            check_run([wrong, masks], {"demo": str(traces)})


def test_the_table_says_how_many_rows_are_on_policy(tmp_path: Path) -> None:
    own = stage(tmp_path, "ds", 4, 3, on_policy=3)
    others = stage(tmp_path, "dojo", 1, 1, on_policy=0)
    masks = stage(tmp_path, "ds", 3, 3, "lossmask")
    table, data = check_run([own, others, masks], {})
    line = "On policy, with the very token ids that the model wrote: 3 of 4 rendered rows (75.0%)"
    assert table.splitlines().count(line) == 1
    assert [row["on_policy"] for row in data["stages"]] == [3, 0, None]
    assert "On policy" not in check_run([masks], {})[0]
    assert "On policy" not in summarise([])


def test_the_table_says_how_many_rows_were_cut(tmp_path: Path) -> None:
    renders = stage(tmp_path, "ds", 4, 3, truncated=2)
    masks = stage(tmp_path, "ds", 3, 3, "lossmask", truncated=9)
    table, data = check_run([renders, masks], {})
    head, _, first, second = (line.split("  ") for line in table.splitlines()[:4])
    column = [word.strip() for word in head if word].index("cut")
    assert [[word for word in row if word][column].strip() for row in (first, second)] == ["2", "-"]
    assert [row["cut"] for row in data["stages"]] == [2, None]


def test_each_filled_set_is_compared_with_its_own_skeletons(tmp_path: Path) -> None:
    stages = [
        stage(tmp_path, f"{stem}_{mode}", count, count, "fill")
        for stem, count in (("one", 2), ("the_other", 3))
        for mode in ("ds", "dr")
    ]
    lines = {"one": 2, "the_other": 4}
    for stem, count in lines.items():
        (tmp_path / stem).write_text("{}\n" * count)
    skeletons = {skeletons_of(stem): str(tmp_path / stem) for stem in lines}
    with pytest.raises(ConservationViolation) as caught:
        check_run(stages, skeletons)
    assert str(caught.value).count("read") == 2
    assert "fill/the_other_dr: read 3 records of 4 skeletons" in str(caught.value)
    (tmp_path / "the_other").write_text("{}\n" * 3)
    check_run(stages, skeletons)


def test_the_table_says_what_the_prefix_cache_of_each_set_held(tmp_path: Path) -> None:
    told = {
        "one": "75.0% of 8 prompt tokens",
        "two": "not applicable (this engine has none, or does not say)",
    }
    stages = [
        stage(tmp_path, f"{stem}_{mode}", 1, 1, "fill", throughput={"prefix_cache": said})
        for stem, said in told.items()
        for mode in ("ds", "dr")
    ]
    table, _ = check_run(stages, {})
    assert [line for line in table.splitlines() if line.startswith("  fill/")] == [
        "  fill/one: 75.0% of 8 prompt tokens",
        "  fill/two: not applicable (this engine has none, or does not say)",
    ]
    assert "Prefix cache" not in check_run([stage(tmp_path, "x_ds", 1, 1, "fill")], {})[0]
