"""What a run makes, for configurations of every kind: data sets, stages, paths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbdata.config import ConfigError, resolve_config
from cbdata.run_plan import RunPlan
from cbdata.sources.registry import SOURCES

B4 = "fujitsu_b4_skeletons"
BOTH = {"fujitsu_b4_path": "b4.jsonl", "agentdojo_path": "dojo"}


def plan(folder: Path, **settings: Any) -> RunPlan:
    """The plan of a configuration whose output lies in a folder."""
    given = {"output_base": str(folder), "fujitsu_b4_path": None, **settings}
    return RunPlan(resolve_config(given, environ={}))


def touch(plan: RunPlan, *stages: tuple[Any, str]) -> None:
    """Leave data, rejects and stats of some stages, as an earlier run would have."""
    for entry in stages:
        for path in (plan.data(*entry), *plan.side_files(*entry).values()):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text("")


def test_both_sources_from_raw_records_to_masks(tmp_path: Path) -> None:
    run = plan(tmp_path, **BOTH)
    assert [source.name for source in run.converted] == ["fujitsu_b4", "agentdojo"]
    assert run.loaded == [B4, "agentdojo_complete"]
    assert run.filled_names == ["fujitsu_b4_ds", "fujitsu_b4_dr"]
    names = ["fujitsu_b4_ds", "fujitsu_b4_dr", "agentdojo_complete"]
    assert run.dataset_names == names
    assert run.stages == [
        ("etl_a", B4),
        ("etl_a", "agentdojo_complete"),
        ("fill", "fujitsu_b4_ds"),
        ("fill", "fujitsu_b4_dr"),
        *(("render", name) for name in names),
        *(("lossmask", name) for name in names),
    ]
    assert run.all_stages == run.stages
    assert run.used_skeletons(run.stages) == [f"{tmp_path}/traces/{B4}.jsonl"]


def test_paths_of_the_output_structure(tmp_path: Path) -> None:
    run = plan(tmp_path, agentdojo_path="dojo", mode="dr")
    assert run.data("etl_a", "x") == run.data("fill", "x") == f"{tmp_path}/traces/x.jsonl"
    assert run.data("render", "x") == f"{tmp_path}/renders/x.jsonl"
    assert run.data("lossmask", "x") == f"{tmp_path}/lossmasks/x.jsonl"
    assert run.side_files("lossmask", below="by_step/{step}/") == {
        "rejects": f"{tmp_path}/rejects/lossmask/by_step/{{step}}/{{name}}.jsonl",
        "stats": f"{tmp_path}/stats/lossmask/by_step/{{step}}/{{name}}.json",
    }
    assert run.run_files == {
        folder: [f"{tmp_path}/{folder}/agentdojo_complete.jsonl"]
        for folder in ("traces", "renders", "lossmasks")
    }
    assert run.side_files_of([("fill", "a"), ("render", "b")])["stats"] == [
        f"{tmp_path}/stats/fill/a.json",
        f"{tmp_path}/stats/render/b.json",
    ]


@pytest.mark.parametrize(
    ("mode", "filled"),
    [("ds", ["mine_ds"]), ("dr", ["mine_dr"]), ("both", ["mine_ds", "mine_dr"])],
)
def test_skeletons_given_by_path_are_filled_without_any_source(
    tmp_path: Path, mode: str, filled: list[str]
) -> None:
    run = plan(tmp_path, skeleton_traces="/data/mine_skeletons.jsonl", mode=mode)
    assert [part.path for part in run.skeleton_sets] == ["/data/mine_skeletons.jsonl"]
    assert run.dataset_names == run.filled_names == filled
    assert run.used_skeletons(run.stages) == ["/data/mine_skeletons.jsonl"]
    assert not run.converted


def test_skeletons_that_no_source_makes_are_filled_by_their_name(tmp_path: Path) -> None:
    run = plan(tmp_path, skeleton_traces="mine_skeletons")
    assert run.filled_names == ["mine_ds", "mine_dr"]
    assert run.skeleton_sets[0].path == f"{tmp_path}/traces/mine_skeletons.jsonl"
    assert run.used_skeletons(run.stages) == [run.skeleton_sets[0].path]


def test_skeletons_of_a_source_that_is_left_out_are_not_filled(tmp_path: Path) -> None:
    run = plan(tmp_path, agentdojo_path="dojo")
    assert run.filled_names == []
    assert run.dataset_names == ["agentdojo_complete"]
    assert run.used_skeletons(run.stages) == []


def test_without_the_load_stage_the_traces_of_an_earlier_run_count(tmp_path: Path) -> None:
    run = plan(tmp_path, skip_load=True)
    assert run.converted == []
    assert run.dataset_names == ["fujitsu_b4_ds", "fujitsu_b4_dr"]
    touch(run, ("etl_a", "agentdojo_complete"), ("etl_a", B4))
    assert run.dataset_names == ["fujitsu_b4_ds", "fujitsu_b4_dr", "agentdojo_complete"]
    assert run.loaded == ["agentdojo_complete"]
    assert run.all_stages == [("etl_a", B4), ("etl_a", "agentdojo_complete"), *run.stages]
    assert run.stages[0] == ("fill", "fujitsu_b4_ds")


def test_without_the_fill_stage_its_stats_count_where_they_are(tmp_path: Path) -> None:
    run = plan(tmp_path, skip_fill=True, fujitsu_b4_path="b4.jsonl")
    assert run.filled_names == ["fujitsu_b4_ds", "fujitsu_b4_dr"]
    assert not [entry for entry in run.stages if entry[0] == "fill"]
    touch(run, ("fill", "fujitsu_b4_ds"))
    Path(run.side_files("fill", "fujitsu_b4_dr")["stats"]).write_text("")  # and no rejects
    assert run.all_stages == [("fill", "fujitsu_b4_ds"), *run.stages]
    assert run.used_skeletons(run.all_stages) == [f"{tmp_path}/traces/{B4}.jsonl"]
    assert run.used_skeletons(run.stages) == []


def test_with_input_traces_load_and_fill_count_only_where_their_files_are_taken(
    tmp_path: Path,
) -> None:
    foreign = plan(tmp_path, **BOTH, input_traces="/data/custom.jsonl")
    assert foreign.dataset_names == ["custom"]
    assert foreign.traces("custom") == "/data/custom.jsonl"
    assert foreign.stages == [("render", "custom"), ("lossmask", "custom")]
    assert foreign.run_files["traces"] == ["/data/custom.jsonl"]
    own = plan(tmp_path, **BOTH, input_traces=["fujitsu_b4_dr", "/data/custom.jsonl"])
    assert own.stages == [
        ("etl_a", B4),
        ("fill", "fujitsu_b4_dr"),
        ("render", "fujitsu_b4_dr"),
        ("render", "custom"),
        ("lossmask", "fujitsu_b4_dr"),
        ("lossmask", "custom"),
    ]
    elsewhere = plan(tmp_path, **BOTH, input_traces="/data/fujitsu_b4_dr.jsonl")
    assert elsewhere.stages == [("render", "fujitsu_b4_dr"), ("lossmask", "fujitsu_b4_dr")]


def test_two_input_traces_of_one_name_end_the_planning(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both called 'a'"):
        plan(tmp_path, input_traces=["/x/a.jsonl", "/y/a.jsonl"])


def test_a_source_more_is_a_registry_line_more(tmp_path: Path) -> None:
    chats = replace(SOURCES[1], name="chats", config_key="agentdojo_path", dataset="chats_complete")
    config = resolve_config({**BOTH, "output_base": str(tmp_path)}, environ={})
    run = RunPlan(config, (*SOURCES, chats))
    assert run.dataset_names[-2:] == ["agentdojo_complete", "chats_complete"]
    assert ("etl_a", "chats_complete") in run.stages
    assert ("lossmask", "chats_complete") in run.stages


def test_complete_traces_are_cut_where_decision_points_are_asked_for(tmp_path: Path) -> None:
    assert plan(tmp_path, **BOTH).cut == {}
    run = plan(tmp_path, **BOTH, decision_points="injection")
    assert {stem: source.goals for stem, source in run.cut.items()} == {"agentdojo": "agentdojo_v1"}
    assert run.stages[:3] == [
        ("etl_a", B4),
        ("etl_a", "agentdojo_complete"),
        ("cut", "agentdojo_skeletons"),
    ]
    assert run.data("cut", "agentdojo_skeletons") == f"{tmp_path}/traces/agentdojo_skeletons.jsonl"


def test_traces_of_an_earlier_run_are_cut_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no complete traces to cut.*agentdojo_path"):
        plan(tmp_path, skip_load=True, decision_points="injection")
    touch(plan(tmp_path, **BOTH), ("etl_a", "agentdojo_complete"))
    assert list(plan(tmp_path, skip_load=True, decision_points="injection").cut) == ["agentdojo"]


def test_skeletons_that_are_cut_are_filled_by_their_name(tmp_path: Path) -> None:
    run = plan(
        tmp_path,
        agentdojo_path="dojo",
        decision_points="injection",
        skeleton_traces="agentdojo_skeletons",
    )
    assert run.filled_names == ["agentdojo_ds", "agentdojo_dr"]
    assert run.skeleton_sets[0].path == run.data("cut", "agentdojo_skeletons")


def test_a_split_for_a_source_that_there_is_not_is_refused(tmp_path: Path) -> None:
    plan(tmp_path, source_splits={"injecagent": "train", "agentdyn": {"a": 0.5, "b": 0.5}})
    with pytest.raises(ConfigError, match=r"'injecagnet' is no source; did you mean injecagent\?"):
        plan(tmp_path, source_splits={"injecagnet": "eval"})


def test_a_cap_on_a_class_that_no_trace_has_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caps = ("fujitsu_b4/skeleton", "fujitsu_b4/ds", "agentdyn/injection_unseen", "agentdojo/dr")
    plan(tmp_path, class_caps=dict.fromkeys(caps, 1))
    plan(tmp_path, class_caps={"my/talk": 1}, conversations_class="my/talk")
    wrong = {"agentdojo/bening": 5}
    with pytest.raises(ConfigError, match=r"'agentdojo/bening'; did you mean agentdojo/benign"):
        plan(tmp_path, class_caps=wrong)
    with pytest.raises(ConfigError, match=r"did you mean conversations/tool_use"):
        plan(tmp_path, class_caps={"conversations/tool_ues": 5})
    with pytest.raises(ConfigError, match=r"'x'; the classes are .*agentdojo/benign"):
        plan(tmp_path, class_caps={"x": 5})
    # A user's own file may have any class.
    (tmp_path / "mine.jsonl").touch()
    caplog.clear()
    plan(tmp_path, class_caps=wrong, input_traces=[str(tmp_path / "mine.jsonl")])
    assert "did you mean agentdojo/benign" in caplog.text


@pytest.mark.parametrize("target", ["load", "fill", "all"])
def test_a_target_without_a_data_set_is_refused_with_the_keys_to_set(
    tmp_path: Path, target: Any
) -> None:
    with pytest.raises(ConfigError, match=f"{target}: there is no data set.*agentdojo_path"):
        plan(tmp_path).check_target(target)
    assert plan(tmp_path, **BOTH).check_target(target) == []


def test_traces_alone_are_enough_for_masks_and_not_for_the_stages_before(tmp_path: Path) -> None:
    run = plan(tmp_path, input_traces=["mine"])
    assert run.check_target("all") == []
    with pytest.raises(ConfigError, match="load: there is no data set"):
        run.check_target("load")


def test_only_the_workflow_s_own_traces_may_be_empty(tmp_path: Path) -> None:
    run = plan(tmp_path, input_traces=["mine", "/elsewhere/agentdojo_complete.jsonl"])
    names = ("fujitsu_b4_ds", "fujitsu_b4_dr", "mine", "agentdojo_complete")
    assert [run.own_traces(name) for name in names] == [True, True, False, False]
    assert plan(tmp_path, **BOTH).own_traces("agentdojo_complete")


def test_every_file_of_the_plan_lies_in_one_of_its_folders(tmp_path: Path) -> None:
    run = plan(tmp_path, **BOTH, decision_points="injection")
    files = [
        path
        for entry in run.stages
        for path in (run.data(*entry), *run.side_files(*entry).values())
    ]
    assert {str(Path(path).parent) for path in files} <= set(run.folders["output_base"])


def test_several_sets_are_completed_in_one_run(tmp_path: Path) -> None:
    sets = [B4, "agentdojo_skeletons", "/data/mine_skeletons.jsonl"]
    run = plan(tmp_path, **BOTH, decision_points="injection", skeleton_traces=sets)
    filled = [
        f"{stem}_{mode}" for stem in ("fujitsu_b4", "agentdojo", "mine") for mode in ("ds", "dr")
    ]
    assert run.filled_names == filled
    assert run.dataset_names == [*filled, "agentdojo_complete"]
    assert [entry for entry in run.stages if entry[0] == "fill"] == [
        ("fill", name) for name in filled
    ]
    assert run.used_skeletons(run.stages) == [
        f"{tmp_path}/traces/{B4}.jsonl",
        f"{tmp_path}/traces/agentdojo_skeletons.jsonl",
        "/data/mine_skeletons.jsonl",
    ]
    assert (
        plan(tmp_path, **BOTH, skeleton_traces=None).fill_sets == plan(tmp_path, **BOTH).fill_sets
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"agentdojo_path": "dojo"}, "agentdojo_complete are complete and need no completions"),
        (
            {"agentdojo_path": "dojo", "decision_points": "injection"},
            "set skeleton_traces to agentdojo_skeletons, which this run makes",
        ),
        ({"injecagent_path": "data"}, "set skeleton_traces to injecagent_skeletons"),
    ],
)
def test_a_fill_without_skeletons_is_told_by_what_the_run_has(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        plan(tmp_path, **settings).check_target("fill")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"skeleton_traces": [B4, "agentdojo_skeletons"], "decision_points": "injection"},
            rf"{B4}: nothing makes these.*set fujitsu_b4_path",
        ),
        (
            {"skeleton_traces": "agentdojo_skeletons"},
            r"agentdojo_skeletons: nothing makes these.*set decision_points=injection",
        ),
        ({"skeleton_traces": "injecagent_skeletons"}, r"set injecagent_path"),
    ],
)
def test_a_named_set_that_nothing_makes_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(tmp_path, agentdojo_path="dojo", **settings)
    plan(tmp_path, agentdojo_path="dojo", skip_fill=True, **settings)
