"""The cut stage as a whole: files, counts, duplicates, rejects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.decision_points.cut import CutSettings
from cbdata.decision_points.stage import NothingToCut, cut_decision_points
from cbdata.jsonl import read_records
from cbdata.schemas import first_error
from cbdata.stage import StageFiles
from tests.records import write_jsonl
from tests.unit.decision_points.runs import attacked_run, clean_run, tables


class Result:
    """What the stage wrote."""

    def __init__(
        self,
        folder: Path,
        traces: list[dict[str, Any]],
        settings: CutSettings,
        max_reject_fraction: float = 1.0,
    ) -> None:
        goals, defaults = tables(folder)
        source = write_jsonl(folder / "bank_complete.jsonl", traces)
        files = StageFiles(folder / "out.jsonl", folder / "rejects.jsonl", folder / "stats.json")
        cut_decision_points(
            source,
            goals=goals,
            defaults=defaults,
            settings=settings,
            outputs=files,
            name="bank_skeletons",
            max_reject_fraction=max_reject_fraction,
        )
        self.bytes = files.out.read_bytes()
        self.skeletons = [record for _, record in read_records(files.out)]
        self.rejects = [record for _, record in read_records(files.rejects)]
        self.stats = orjson.loads(files.stats.read_bytes())
        for record in self.skeletons:
            assert first_error("trace_v1", record) is None
        for record in self.rejects:
            assert first_error("reject_v1", record) is None
        assert first_error("stats_v1", self.stats) is None


INJECTION = CutSettings("injection", "recorded")


def test_every_decision_point_is_a_skeleton_a_reject_a_duplicate_or_not_selected(
    tmp_path: Path,
) -> None:
    unseen = attacked_run("three")
    unseen["labels"]["exposed"] = False
    broken = attacked_run("four")
    del broken["messages"][3]["content"]
    saying = attacked_run("one", goal="say")
    saying["messages"][3]["content"] = saying["messages"][3]["content"].replace("EVIL1", "EVIL2")
    found = Result(
        tmp_path,
        [
            attacked_run("two"),
            clean_run(),
            attacked_run("one"),
            unseen,
            saying,
            broken,
        ],
        INJECTION,
    )
    assert found.stats["counts"] == {
        "records_in": 6,
        "records_out": 1,
        "rejected": 2,
        "duplicates": 1,
        "not_selected": 2,
        "headers": 0,
    }
    assert found.stats["details"] == {
        "traces": 6,
        "default_text": {"every_span": 1},
        "expected_calls": {"calls": 1},
        "kinds": {"injection": 1},
        "not_cut": {"bank/attacked": 1, "bank/benign": 1},
        "skeletons_by_pipeline": {"one": 1, "two": 1},
    }
    [skeleton] = found.skeletons
    parents = [attacked_run("one"), attacked_run("two")]
    assert skeleton["links"]["parent_trace_ids"] == sorted(trace["id"] for trace in parents)
    assert skeleton["decision_point"]["source_pipelines"] == ["one", "two"]
    assert skeleton["source"]["model_id"] == "two"
    assert [(row["line"], row["reason"]) for row in found.rejects] == [
        (5, "goal_without_calls"),
        (6, "invalid_trace"),
    ]


def test_a_clean_run_behind_the_attacked_one_tells_what_is_expected_as_well(
    tmp_path: Path,
) -> None:
    one = Result(tmp_path, [attacked_run(), clean_run()], INJECTION)
    other = Result(tmp_path, [clean_run(), attacked_run()], INJECTION)
    assert one.bytes == other.bytes
    unsolved = Result(tmp_path, [clean_run(solved=False), attacked_run()], INJECTION)
    assert "expected_calls" not in unsolved.skeletons[0]["tool_attack"]


def test_at_every_turn_clean_runs_of_several_models_share_their_first_skeletons(
    tmp_path: Path,
) -> None:
    found = Result(
        tmp_path,
        [clean_run("one"), clean_run("two"), attacked_run()],
        CutSettings("every_turn", "recorded"),
    )
    assert found.stats["counts"]["records_in"] == 7
    assert found.stats["counts"]["duplicates"] == 3
    assert [record["decision_point"]["kind"] for record in found.skeletons] == [
        "clean",
        "clean",
        "clean",
        "injection",
    ]
    assert len({record["id"] for record in found.skeletons}) == 4
    assert found.skeletons[0]["decision_point"]["source_pipelines"] == ["one", "two"]


def test_a_run_without_a_turn_of_the_model_has_no_decision_point(tmp_path: Path) -> None:
    silent = clean_run()
    silent["messages"] = silent["messages"][:2]
    found = Result(tmp_path, [silent], CutSettings("every_turn", "recorded"))
    assert found.stats["counts"]["not_selected"] == 1 and found.skeletons == []


def test_no_decision_point_at_all_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Result(tmp_path, [clean_run()], INJECTION)
    assert "no decision point in 1 traces" in caplog.text


def test_where_not_everything_may_be_lost_no_decision_point_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NothingToCut, match=r"no decision point in 1 traces\. Hint: .*every_turn"):
        Result(tmp_path, [clean_run()], INJECTION, max_reject_fraction=0.9)
    assert not (tmp_path / "out.jsonl").exists()
