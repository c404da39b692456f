"""Schedule files: what they mean, and every way in which one is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cbdata.mwcs.schedule import Schedule, ScheduleError, load_schedule, schedule_path

CLASSES = {
    "fujitsu_b4/ds",
    "fujitsu_b4/dr",
    "agentdojo/injection_succeeded",
    "agentdojo/injection_resisted",
    "agentdojo/injection_unseen",
    "agentdojo/benign",
}


@pytest.fixture
def load(tmp_path: Path):
    def of(text: str) -> Schedule:
        path = tmp_path / "made.yaml"
        path.write_text(text)
        return load_schedule(path)

    return of


TWO_PHASES = """
class_weights: {a: 2, b: 0.5}
default_weight: 0.25
lmp_overrides: {a: full_sequence}
curriculum:
  type: step
  phases:
    - {name: one, start_step: 0, end_step: 10, class_weights: {a: 1, c: 4}}
    - {name: two, start_step: 10, end_step: 20, class_weights: {b: 3}, lmp_overrides: {a: tool_calls_only}}
"""  # noqa: E501 - embedded text


def test_constant_weights_hold_at_every_step(load) -> None:
    schedule = load("class_weights: {a: 2, b: 0}")
    assert (schedule.name, schedule.default_weight, schedule.moves) == ("made", 1.0, False)
    assert [schedule.weights(step) for step in (0, 1, 10**6)] == [{"a": 2.0, "b": 0.0}] * 3


def test_a_phase_lies_over_the_class_weights_and_the_default_fills_the_rest(load) -> None:
    schedule = load(TWO_PHASES)
    assert schedule.weights(0) == {"a": 1.0, "b": 0.5, "c": 4.0}
    assert schedule.weights(10) == {"a": 2.0, "b": 3.0, "c": 0.25}
    assert schedule.classes == ("a", "b", "c")


def test_policy_overrides_are_those_of_the_phase(load) -> None:
    schedule = load(TWO_PHASES)
    assert [schedule.lmp_overrides(step) for step in (0, 9, 10, 99)] == [
        {"a": "full_sequence"}
    ] * 2 + [{"a": "tool_calls_only"}] * 2
    assert [schedule.phase_at(step) for step in (0, 9, 10, 99)] == ["one", "one", "two", "two"]


def test_type_none_switches_a_curriculum_off(load) -> None:
    schedule = load(TWO_PHASES.replace("type: step", "type: none"))
    assert schedule.weights(15) == {"a": 2.0, "b": 0.5}
    assert schedule.lmp_overrides(15) == {"a": "full_sequence"}


def phases(*borders: tuple[int, int], names: str = "xyz") -> str:
    rows = [
        f"    - {{name: {names[i]}, start_step: {start}, end_step: {end}, class_weights: {{a: 1}}}}"
        for i, (start, end) in enumerate(borders)
    ]
    return "curriculum:\n  type: linear\n  phases:\n" + "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class_weights: {a: -0.1}", "class_weights/a: -0.1 is less than the minimum of 0"),
        ("class_weights: {a: .nan}", "class_weights/a"),
        ("class_weights: {a: .inf}", "class_weights/a"),
        ("class_weights: {a: true}", "class_weights/a: true is not of type"),
        ("class_weights: {}", "class_weights"),
        ("class_weight: {a: 1}", "class_weight"),
        ("name: nothing", "not valid under any"),
        ("class_weights: {a: 1, a: 2}", "the key 'a' is there twice"),
        ("class_weights: {3: 1}", "the key 3 is not a string; quote it"),
        ("class_weights: {a: 1", "not YAML"),
        ("- a", "(record)"),
        ("", "(record)"),
        ("class_weights: {a: !!python/object/apply:os.getcwd []}", "not YAML"),
        ("curriculum: {type: none}", '"class_weights" is a required property'),
        ("curriculum: {type: step}", '"phases" is a required property'),
        ("curriculum: {type: quadratic, phases: []}", "curriculum/"),
        (phases((0, 10), (9, 20)), "phase 'y': [9, 20) overlaps 'x' [0, 10)"),
        (phases((0, 10), (0, 10)), "overlaps"),
        (
            phases((10, 20), (0, 10)),
            "phase 'y': [0, 10) stands after 'x' [10, 20); phases go in order",
        ),
        (phases((5, 5)), "end_step 5 is not after start_step 5"),
        (phases((0, 1), (1, 2), names="xx"), "phase 'x': the name is there twice"),
        ("class_weights: {a: 1}\noptional_classes: [b]", "optional_classes: 'b' has no weight"),
        ("class_weights: {a: 1}\nlmp_overrides: {a: {params: {}}}", "lmp_overrides/a"),
    ],
)
def test_a_schedule_is_refused_with_its_file_and_place(load, text: str, message: str) -> None:
    with pytest.raises(ScheduleError, match=rf"(?s)made\.yaml: .*{re.escape(message)}"):
        load(text)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match=r"gone.yaml' does not exist"):
        schedule_path(str(tmp_path / "gone.yaml"))
    with pytest.raises(ScheduleError, match=r"gone.yaml does not exist"):
        load_schedule(tmp_path / "gone.yaml")


def test_names_mean_files_of_the_project(repo: Path) -> None:
    assert schedule_path("balanced_cb") == repo / "configs/mwcs/balanced_cb.yaml"
    with pytest.raises(
        ScheduleError, match=r"there is no schedule 'balanced'.*did you mean balanced_cb"
    ):
        schedule_path("balanced")


def test_paths_may_hold_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yml").write_text("class_weights: {a: 1}")
    monkeypatch.setenv("SCHEDULES", str(tmp_path))
    assert schedule_path("$SCHEDULES/mine.yml") == tmp_path / "mine.yml"


def test_a_class_that_no_trace_has_is_an_error(load) -> None:
    schedule = load(
        "class_weights: {fujitsu_b4/ds: 1, fujitsu_b4/drr: 2, agentdojo/benign:"
        " 1}\noptional_classes: [agentdojo/benign]"
    )
    with pytest.raises(
        ScheduleError, match="no trace has the class fujitsu_b4/drr; did you mean fujitsu_b4/dr"
    ):
        schedule.check_classes({"fujitsu_b4/ds", "fujitsu_b4/dr"})
    schedule.check_classes({"fujitsu_b4/ds", "fujitsu_b4/drr", "more"})


def test_a_class_named_only_by_an_override_is_checked_too(load) -> None:
    with pytest.raises(ScheduleError, match="no trace has the class b"):
        load("class_weights: {a: 1}\nlmp_overrides: {b: full_sequence}").check_classes({"a"})


def test_a_schedule_must_have_something_to_do_with_the_data(load) -> None:
    with pytest.raises(ScheduleError, match="no trace has any of its classes a"):
        load("class_weights: {a: 1}\noptional_classes: [a]").check_classes({"b"})


# The weights of fujitsu_b4/ds, fujitsu_b4/dr, agentdojo/injection_succeeded and
# agentdojo/injection_resisted at a few steps.
PRESETS = {
    "balanced_cb": {0: (1, 1, 1, 1), 500: (1, 1, 1, 1)},
    "capability_heavy": {0: (0.5, 1.5, 0.5, 2)},
    "attack_focus": {0: (2, 0.75, 2, 1)},
    "staged_introduction": {
        0: (1, 1, 0, 0),
        99: (1, 1, 0, 0),
        100: (1, 1, 0.5, 1),
        220: (1, 1, 2, 1.5),
        400: (1, 1, 2, 1.5),
    },
    # 1 - t/300 and t/300 up to step 150.
    "alpha_decay_staged": {
        0: (1, 0, 1, 0),
        75: (0.75, 0.25, 0.75, 0.25),
        120: (0.6, 0.4, 0.6, 0.4),
        150: (0.5,) * 4,
        1000: (0.5,) * 4,
    },
}


@pytest.mark.parametrize("name", PRESETS)
def test_the_project_s_schedules(name: str) -> None:
    schedule = load_schedule(schedule_path(name))
    assert set(schedule.classes) == CLASSES
    schedule.check_classes(CLASSES)
    schedule.check_classes({"fujitsu_b4/ds", "fujitsu_b4/dr"})
    shown = (
        "fujitsu_b4/ds",
        "fujitsu_b4/dr",
        "agentdojo/injection_succeeded",
        "agentdojo/injection_resisted",
    )
    for step, expected in PRESETS[name].items():
        weights = schedule.weights(step)
        assert [weights[class_id] for class_id in shown] == pytest.approx(expected)


def test_every_schedule_of_the_project_is_tested_here_and_says_what_it_is_for(repo: Path) -> None:
    files = sorted((repo / "configs/mwcs").glob("*.yaml"))
    assert {file.stem for file in files} == set(PRESETS)
    assert all(file.read_text().startswith("# ") for file in files)


def test_policies_that_the_project_s_schedules_name_exist(repo: Path) -> None:
    from cbdata.lossmask.registry import load_registry

    registry = load_registry()
    for file in (repo / "configs/mwcs").glob("*.yaml"):
        for phase in load_schedule(file).phases:
            for policy in phase.lmp_overrides.values():
                registry.entry(policy)
