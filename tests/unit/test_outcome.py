"""What a run says at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from cbdata.outcome import outcome
from cbdata.records import STAGES

SETTINGS = {"max_length": 4096}


def stats(
    folder: Path, stage: str, name: str, taken: int, out: int, why: dict[str, int], **details: Any
) -> Path:
    """A stats file in which the records that are neither out nor rejected were not selected."""
    rejected = sum(why.values())
    counts = {"records_in": taken, "records_out": out, "rejected": rejected}
    counts |= {"duplicates": 0, "not_selected": taken - out - rejected, "headers": 0}
    path = folder / f"{stage}-{name.replace('/', '_')}.json"
    row = {"stage": stage, "name": name, "counts": counts, "rejected_by_reason": why}
    path.write_bytes(orjson.dumps({**row, "details": details}))
    return path


def run(folder: Path) -> list[Path]:
    """Two data sets of which one was rendered and masked."""
    cut = {"truncated": 2, "tokens_cut": 300, "tokens_before_cut": 1000, "on_policy": 1}
    return [
        stats(folder, "lossmask", "dojo", 4, 3, {"empty_mask": 1}),
        stats(folder, "etl_a", "dojo", 2000, 10, {"not_json": 10}),
        stats(folder, "render", "dojo", 10, 4, {"content_dropped": 6}, **cut),
        stats(folder, "etl_a", "b4", 5, 5, {}),
    ]


def test_every_data_set_has_its_counts_and_the_yield_of_each_stage(tmp_path: Path) -> None:
    lines = outcome(run(tmp_path), out="out", settings=SETTINGS).splitlines()
    assert [" ".join(line.split()) for line in lines[1:3]] == [
        "dojo 2,000 3 17 1,980 2 15% etl_a 50%, render 40%, lossmask 75%",
        "b4 5 5 0 0 - 100% etl_a 100%",
    ]


def test_it_tells_what_was_lost_what_helps_and_where_to_go_on(tmp_path: Path) -> None:
    text = outcome(run(tmp_path), out="out", settings=SETTINGS, pages=["out/stats/summary.txt"])
    assert "max_length=4096 cut 2 rows, and 300 of 1,000 tokens (30%) are lost. Hint: " in text
    assert "On policy (the very ids that the model wrote): 1 of 4 renders (25%)" in text
    reasons = text.split("Rejected most often:\n")[1].splitlines()
    assert reasons[0].startswith("  etl_a: not_json, 10 of 20 (50%). Hint: write one JSON object")
    assert reasons[1].startswith("  render: content_dropped, 6 of 10 (60%). Hint: set chat_templa")
    assert reasons[2].startswith("  lossmask: empty_mask, 1 of 4 (25%). Hint: raise max_length")
    assert reasons[3] == "Files: out (reject rows with their reasons: out/rejects)"
    assert reasons[4] == "There: out/stats/summary.txt"
    assert all(f"{target} (" in reasons[5] for target in ("report", "export", "validate"))


def test_the_next_step_is_that_behind_the_last_stage(tmp_path: Path) -> None:
    def last(*paths: Path, targets: tuple[str, ...] = ()) -> str:
        text = outcome(paths, out="out", settings=SETTINGS, targets=targets)
        return text.splitlines()[-1]

    loaded = stats(tmp_path, "etl_a", "b4_skeletons", 5, 5, {})
    complete = stats(tmp_path, "etl_a", "dojo_complete", 5, 5, {})
    filled = stats(tmp_path, "fill", "ds", 5, 5, {})
    masked = stats(tmp_path, "lossmask", "ds", 5, 5, {})
    assert ": fill (" in last(loaded) and ": fill (" in last(loaded, complete)
    assert ": lossmask (" in last(complete)
    assert ": lossmask (" in last(loaded, filled)
    assert ": report (" in last(filled, masked)
    assert ": export (" in last(masked, targets=("all", "report"))
    assert last(masked, targets=("report", "export", "validate")).startswith("Next: train")


def test_a_report_that_is_there_is_no_next_step(tmp_path: Path) -> None:
    masked = stats(tmp_path, "lossmask", "ds", 5, 5, {})
    pages = ["out/report/index.html"]
    text = outcome([masked], out="out", settings=SETTINGS, targets=("all",), pages=pages)
    assert ": export (" in text and "report (" not in text


def test_skeletons_that_nothing_completes_are_told(tmp_path: Path) -> None:
    paths = [
        stats(tmp_path, "cut", "dojo_skeletons", 5, 5, {}),
        stats(tmp_path, "lossmask", "dojo_complete", 5, 5, {}),
    ]
    words = "nothing completes dojo_skeletons: skeleton_traces does not name them"
    assert words in outcome(paths, out="out", settings=SETTINGS)
    assert words not in outcome(paths[:1], out="out", settings=SETTINGS)
    filled = [*paths, stats(tmp_path, "fill", "dojo_dr", 5, 5, {})]
    assert words not in outcome(filled, out="out", settings=SETTINGS)


def test_reasons_of_the_fill_stage_leave_room_for_others(tmp_path: Path) -> None:
    many = {"other_tool": 90, "no_call": 80, "expected_tool": 70}
    paths = [
        stats(tmp_path, "fill", "ds", 300, 60, many),
        stats(tmp_path, "render", "dojo", 9, 5, {"content_dropped": 4}),
    ]
    text = outcome(paths, out="out", settings=SETTINGS)
    assert [line.split(",")[0].strip() for line in text.splitlines() if "Hint:" in line] == [
        "fill: other_tool",
        "fill: no_call",
        "render: content_dropped",
    ]
    alone = outcome(paths[:1], out="out", settings=SETTINGS)
    assert alone.count("  fill: ") == 3


def test_an_empty_data_set_and_empty_sweeps_are_told(tmp_path: Path) -> None:
    empty = stats(tmp_path, "fill", "ds", 4, 0, {"no_call": 4})
    sweeps = [
        stats(tmp_path, "lossmask", f"by_policy/{name}", 4, out, {"empty_mask": 4 - out})
        for name, out in (("a", 0), ("b", 3))
    ]
    text = outcome([empty], out="out", settings=SETTINGS, sweeps=sweeps)
    assert "WARNING: nothing is left of ds" in text
    assert "2 files of masks, 5 rows rejected in all, 1 files without a row" in text
    assert "fill 0%" in text


def test_a_share_is_never_rounded_to_all_or_nothing(tmp_path: Path) -> None:
    text = outcome(
        [stats(tmp_path, "render", "x", 10_000, 9_999, {"too_long": 1})],
        out="out",
        settings=SETTINGS,
    )
    assert "99.99%" in text and "too_long, 1 of 10,000 (0.01%)" in text and "100%" not in text


def test_at_most_thirty_lines_whatever_a_run_is_made_of(tmp_path: Path) -> None:
    paths = [
        stats(tmp_path, stage, f"set_{number:02}", 9, 0, {"not_json": 9}, truncated=1, tokens_cut=1,
              tokens_before_cut=2)
        for number in range(40)
        for stage in STAGES
    ]  # fmt: skip
    pages = [f"out/{number}" for number in range(4)]
    text = outcome(paths, out="out", settings=SETTINGS, pages=pages, sweeps=paths)
    assert len(text.splitlines()) <= 30
    assert "... and 26 more data sets" in text
    assert "nothing is left of set_00, set_01, set_02 and 37 more" in text


def test_a_run_that_makes_no_data_set_names_its_pages_alone(tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    assert outcome([missing], out="out", settings=SETTINGS, pages=["out/a"]) == "There: out/a"
    assert outcome([], out="out", settings=SETTINGS) == ""


def test_of_a_run_that_failed_it_tells_what_is_there(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.touch()
    paths = [*run(tmp_path), tmp_path / "not-made.json"]
    pages = [str(page), f"{tmp_path}/none.html"]
    text = outcome(paths, out="out", settings=SETTINGS, pages=pages, failed=True)
    assert text.startswith("What is there, made by this run or an earlier one:\ndata set ")
    assert text.endswith(f"There: {page}") and "none.html" not in text
    assert "max_length=" not in text  # that of the earlier run is not known
    assert outcome([], out="out", settings=SETTINGS, pages=[], failed=True) == ""


def test_a_users_own_set_may_be_called_skeletons(tmp_path: Path) -> None:
    paths = [
        stats(tmp_path, "render", "my_skeletons", 5, 5, {}),
        stats(tmp_path, "lossmask", "my_skeletons", 5, 5, {}),
    ]
    assert "nothing completes" not in outcome(paths, out="out", settings=SETTINGS, targets=("all",))
