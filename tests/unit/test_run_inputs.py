"""The files that the settings of a run mean, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbdata.config import ConfigError, resolve_config
from cbdata.lossmask.policies import PolicyError
from cbdata.mwcs.schedule import ScheduleError
from cbdata.paths import POLICY_REGISTRY, SCHEDULES, TOOL_SCHEMAS
from cbdata.run_inputs import CHEAP_REPORT_BYTES, RunInputs
from cbdata.run_plan import RunPlan
from cbdata.sources import SourceError
from cbdata.sources.registry import SOURCES
from tests.schemas import schema_file

B4, DOJO, DYN = SOURCES[:3]


def inputs(**settings: Any) -> RunInputs:
    """The inputs of a configuration."""
    return RunInputs(RunPlan(resolve_config({"output_base": "out", **settings}, environ={})))


def test_raw_files_of_one_file_and_of_a_tree(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for name in ("b4.jsonl", "runs/a.jsonl", "runs/b.jsonl"):
        (tmp_path / name).write_text("")
    run = inputs(fujitsu_b4_path=f"{tmp_path}/b4.jsonl", agentdojo_path=f"{tmp_path}/runs")
    assert run.raw_files(B4) == [f"{tmp_path}/b4.jsonl"]
    assert run.raw_files(DOJO) == [f"{tmp_path}/runs/a.jsonl", f"{tmp_path}/runs/b.jsonl"]
    both = inputs(agentdojo_path=[f"{tmp_path}/runs/b.jsonl", f"{tmp_path}/runs/a.jsonl"])
    assert both.raw_files(DOJO) == run.raw_files(DOJO)


def test_raw_files_that_are_not_there_are_named_with_their_key(tmp_path: Path) -> None:
    run = inputs(fujitsu_b4_path="nowhere.jsonl", agentdojo_path=str(tmp_path))
    with pytest.raises(ConfigError, match=r"fujitsu_b4_path: 'nowhere.jsonl' does not exist.*Fix"):
        run.raw_files(B4)
    with pytest.raises(SourceError, match="agentdojo_path"):
        run.raw_files(DOJO)


def test_tool_schemas_are_the_configured_one_or_the_suites() -> None:
    run = inputs(tool_schema=str(TOOL_SCHEMAS / "demo_v1.json"))
    assert run.tool_schemas(B4) == [str(TOOL_SCHEMAS / "demo_v1.json")]
    suites = ("banking", "slack", "travel", "workspace")
    assert run.tool_schemas(DOJO) == [
        str(TOOL_SCHEMAS / f"agentdojo_{suite}_v1.json") for suite in suites
    ]


def test_decision_points_are_cut_with_the_source_s_two_tables() -> None:
    run = inputs(agentdojo_path="dojo", decision_points="every_turn")
    tables = run.decision_tables("agentdojo")
    assert {kind: Path(path).parent.name for kind, path in tables.items()} == {
        "goals": "attack_goals",
        "defaults": "injection_defaults",
    }
    assert all(Path(path).name == "agentdojo_v1.json" for path in tables.values())
    assert all(Path(path).exists() for path in tables.values())


def test_tool_schemas_of_further_folders_count_for_sources_and_traces(tmp_path: Path) -> None:
    schema_file(tmp_path, "agentdyn_mine_v1")
    run = inputs(tool_schema_dirs=[str(tmp_path)])
    assert run.tool_schema_dirs() == [str(TOOL_SCHEMAS), str(tmp_path)]
    assert f"{tmp_path}/agentdyn_mine_v1.json" in run.tool_schemas(DYN)
    with pytest.raises(ConfigError, match=r"tool_schema_dirs: 'nowhere' does not exist"):
        inputs(tool_schema_dirs=["nowhere"]).tool_schema_dirs()


def test_files_of_a_local_model_are_inputs_and_a_hub_id_has_none(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    run = inputs(tokenizer=str(tmp_path), model=str(tmp_path))
    assert run.tokenizer_files() == [f"{tmp_path}/tokenizer.json"]
    assert run.model_files() == [f"{tmp_path}/config.json", f"{tmp_path}/tokenizer.json"]
    assert inputs(tokenizer="org/name").tokenizer_files() == []


def test_the_template_is_the_project_s_or_a_file(tmp_path: Path, repo: Path) -> None:
    llama = [str(repo / "configs/chat_templates/llama31_tools.jinja")]
    assert inputs(force_llama=True).template_files() == llama
    assert inputs(chat_template="llama31_tools").template_files() == llama
    (tmp_path / "own.jinja").write_text("")
    own = inputs(chat_template=f"{tmp_path}/own.jinja")
    assert own.template_files() == [f"{tmp_path}/own.jinja"]
    assert inputs().template_files() == []


def test_policies_are_looked_up_while_planning() -> None:
    run = inputs()
    assert run.policy(None) is None
    assert run.policy("assistant_only") == "assistant_only"
    custom = {"policy": "custom", "params": {}}
    assert run.policy(custom) == custom
    with pytest.raises(PolicyError, match="did you mean assistant_only"):
        run.policy("asistant_only")


def test_masks_are_made_from_renders_traces_and_registry() -> None:
    files = {
        "renders": "out/renders/x.jsonl",
        "traces": "/data/x.jsonl",
        "registry": str(POLICY_REGISTRY),
    }
    assert inputs(input_traces="/data/x.jsonl").lossmask_files("x") == files
    with_schedule = inputs(input_traces="/data/x.jsonl", mwcs_schedule="balanced_cb")
    assert with_schedule.lossmask_files("x") == files | {
        "mwcs_schedule": str(SCHEDULES / "balanced_cb.yaml"),
        "mixture": "out/mwcs/classes.json",
    }


def test_a_schedule_of_the_configuration_goes_before_the_project_s(tmp_path: Path) -> None:
    text = (SCHEDULES / "balanced_cb.yaml").read_text()
    own = tmp_path / "balanced_cb.yaml"
    own.write_text(text)
    run = inputs(mwcs_schedule=str(own))
    assert run.named_schedule("balanced_cb") == str(own)
    assert run.named_schedule("attack_focus") == str(SCHEDULES / "attack_focus.yaml")
    assert len(run.weight_tables()) == 1
    assert run.weight_tables()[0].startswith("out/mwcs/balanced_cb/weights_0_to_")
    assert len(inputs().weight_tables()) == len(list(SCHEDULES.glob("*.yaml")))


def test_a_wrong_schedule_ends_the_planning() -> None:
    run = inputs(mwcs_schedule="balanced")
    with pytest.raises(ScheduleError, match="did you mean balanced_cb"):
        run.schedule()
    with pytest.raises(ScheduleError, match="did you mean balanced_cb"):
        run.lossmask_files("x")


def test_masks_of_a_step_need_a_schedule() -> None:
    assert inputs(mwcs_schedule="balanced_cb").step("200") == 200
    with pytest.raises(ScheduleError, match=r"by_step/200: mwcs_schedule is not set. Fix"):
        inputs().step("200")


@pytest.mark.parametrize("key", ["fujitsu_b4_path", "agentdojo_path", "skeleton_traces"])
def test_the_first_look_refuses_a_file_of_another_kind(tmp_path: Path, key: str) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match=f"{key}.*CSV"):
        inputs(**{key: f"{tmp_path}/table.csv"}).first_look()


def test_the_first_look_sees_traces_and_tokenizers(tmp_path: Path) -> None:
    (tmp_path / "renders.jsonl").write_text('{"render_id": "r"}\n')
    with pytest.raises(ConfigError, match=r"input_traces.*no file of traces"):
        inputs(input_traces=f"{tmp_path}/renders.jsonl").first_look()
    with pytest.raises(ConfigError, match="no tokenizer's folder"):
        inputs(tokenizer=str(tmp_path)).first_look()


def test_the_first_look_passes_over_what_is_missing_or_skipped(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    inputs(fujitsu_b4_path="nowhere", tokenizer="org/name", skeleton_traces="/no/x").first_look()
    inputs(agentdojo_path=f"{tmp_path}/table.csv", skip_load=True).first_look()
    inputs(skeleton_traces=f"{tmp_path}/table.csv", skip_fill=True).first_look()


def test_the_first_look_refuses_a_file_in_a_folder_s_place(tmp_path: Path) -> None:
    (tmp_path / "lossmasks").write_text("")
    with pytest.raises(ConfigError, match=r"output_base: '.*lossmasks' is no folder"):
        inputs(output_base=str(tmp_path)).first_look()


@pytest.mark.parametrize(("size", "cheap"), [(CHEAP_REPORT_BYTES, True), (64_000_001, False)])
def test_the_report_is_cheap_up_to_a_size(tmp_path: Path, size: int, cheap: bool) -> None:
    big, small = tmp_path / "big.jsonl", tmp_path / "small.jsonl"
    small.write_text("{}\n")
    with open(big, "wb") as file:
        file.truncate(size - 3)
    both = {"agentdojo_path": [str(big), str(small)]}
    assert inputs(**both).report_is_cheap() is cheap
    # Raw files that are not converted again do not count, but traces that are there do.
    assert inputs(**both, skip_load=True).report_is_cheap()
    traces = tmp_path / "data/traces/agentdojo_complete.jsonl"
    traces.parent.mkdir(parents=True)
    big.rename(traces)
    with open(traces, "ab") as file:
        file.write(b"   ")
    found = inputs(agentdojo_path=str(small), output_base=str(tmp_path / "data"))
    assert found.report_is_cheap() is cheap


def test_missing_raw_files_are_no_matter_of_the_report() -> None:
    assert inputs(fujitsu_b4_path="nowhere", agentdojo_path=["/no/x"]).report_is_cheap()
