"""Schedules: YAML files of class weights (``configs/mwcs``), closed and checked before anything is
weighted.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cbdata.mwcs.weights import Phase, phase_index, weights_at
from cbdata.paths import SCHEDULES
from cbdata.schemas import first_error
from cbdata.suggest import did_you_mean


class ScheduleError(ValueError):
    """A schedule cannot be used: names the file, the place, what was expected and a hint."""


@dataclass(frozen=True)
class Schedule:
    """Class weights over training steps.

    A schedule without a curriculum is one phase. ``default_weight`` is the weight of classes that
    it does not name; classes in ``optional_classes`` may be absent from the data.
    """

    name: str
    path: str
    kind: str
    interpolation: str
    phases: tuple[Phase, ...]
    default_weight: float
    optional_classes: frozenset[str]
    moves: bool = False
    """Whether there is a curriculum in force; otherwise the one phase stands for every step."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class that has a weight or a policy override anywhere in the schedule, sorted."""
        named = {name for phase in self.phases for name in (*phase.weights, *phase.lmp_overrides)}
        return tuple(sorted(named))

    def weights(self, step: int) -> dict[str, float]:
        """The weight of every class that the schedule names, at a step (see
        ``cbdata.mwcs.weights``).
        """
        return weights_at(self.phases, self.kind, self.interpolation, step)

    def phase_at(self, step: int) -> str:
        """The name of the phase that a step belongs to: the last one that has begun, the first one
        before any has.
        """
        return self.phases[phase_index(self.phases, step)].name

    def lmp_overrides(self, step: int) -> Mapping[str, Any]:
        """Class id -> policy id or ``{policy, params}`` of the phase that the step belongs to;
        never a blend of two.
        """
        return self.phases[phase_index(self.phases, step)].lmp_overrides

    def check_classes(self, present: Collection[str]) -> None:
        """Raise ScheduleError if the schedule names a class that no trace has, or none that any
        has.
        """
        missing = [
            name
            for name in self.classes
            if name not in present and name not in self.optional_classes
        ]
        known = ", ".join(sorted(present)) or "none"
        if missing:
            hint = f"{did_you_mean(missing[0], present)} Classes of the input traces: {known}"
            raise ScheduleError(
                f"{self.path}: no trace has the class {', '.join(missing)}; {hint.lstrip()}. Hint:"
                " correct the name, add its file to input_traces, or list it under optional_classes"
            )
        if self.classes and not set(self.classes) & set(present):
            raise ScheduleError(
                f"{self.path}: no trace has any of its classes {', '.join(self.classes)}. Classes"
                f" of the input traces: {known}"
            )


def schedule_path(value: str, folder: str | Path = SCHEDULES) -> Path:
    """The file that a ``mwcs_schedule`` value means: a path if it has a slash or ends in .yaml or
    .yml, else a name in ``folder``.

    Raises ScheduleError if there is no such file.
    """
    if "/" in value or value.endswith((".yaml", ".yml")):
        path = Path(os.path.expandvars(value)).expanduser()
        if not path.is_file():
            raise ScheduleError(
                f"mwcs_schedule: {value!r} does not exist. Hint: give a path to a YAML file, or one"
                f" of {', '.join(_names(folder))}"
            )
        return path
    path = Path(folder) / f"{value}.yaml"
    if not path.is_file():
        known = _names(folder)
        hint = f"{did_you_mean(value, known)} Known: {', '.join(known)}".lstrip()
        raise ScheduleError(
            f"mwcs_schedule: there is no schedule {value!r} in {folder}; {hint}; or give a path"
        )
    return path


def load_schedule(path: str | Path) -> Schedule:
    """Read and check a schedule file. Raises ScheduleError."""
    path = Path(path)
    try:
        data = yaml.load(path.read_bytes(), _UniqueKeyLoader)  # a SafeLoader
    except FileNotFoundError as error:
        raise ScheduleError(f"mwcs_schedule: {path} does not exist") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScheduleError(f"{path}: not YAML: {error}") from error
    if problem := first_error("mwcs", data):
        raise ScheduleError(f"{path}: {problem}. Hint: docs/policies.md has the form of a schedule")
    base: dict[str, float] = data.get("class_weights", {})
    overrides: dict[str, Any] = data.get("lmp_overrides", {})
    default = float(data.get("default_weight", 1.0))
    curriculum = data.get("curriculum", {"type": "none"})
    moving = curriculum["type"] != "none"
    constant = {"name": "constant", "start_step": 0, "end_step": 1, "class_weights": {}}
    raw: list[dict[str, Any]] = curriculum["phases"] if moving else [constant]
    named = {name for phase in raw for name in phase["class_weights"]} | set(base)
    phases = tuple(
        Phase(
            phase["name"],
            phase["start_step"],
            phase["end_step"],
            {
                name: float({**base, **phase["class_weights"]}.get(name, default))
                for name in sorted(named)
            },
            {**overrides, **phase.get("lmp_overrides", {})},
        )
        for phase in raw
    )
    schedule = Schedule(
        data.get("name", path.stem),
        str(path),
        curriculum["type"] if moving else "step",
        curriculum.get("interpolation", "none"),
        phases,
        default,
        frozenset(data.get("optional_classes", [])),
        moving,
    )
    _check(schedule)
    return schedule


def _check(schedule: Schedule) -> None:
    names: set[str] = set()
    for index, phase in enumerate(schedule.phases):
        where = f"{schedule.path}: phase {phase.name!r}"
        if phase.name in names:
            raise ScheduleError(f"{where}: the name is there twice")
        names.add(phase.name)
        if phase.end <= phase.start:
            raise ScheduleError(
                f"{where}: end_step {phase.end} is not after start_step {phase.start}; end_step is"
                " exclusive"
            )
        before = schedule.phases[index - 1] if index else None
        if before and phase.start < before.end:
            problem = "overlaps" if phase.end > before.start else "stands after"
            raise ScheduleError(
                f"{where}: [{phase.start}, {phase.end}) {problem} {before.name!r} [{before.start},"
                f" {before.end}); phases go in order"
            )
    if unknown := sorted(schedule.optional_classes - set(schedule.classes)):
        raise ScheduleError(
            f"{schedule.path}: optional_classes: {unknown[0]!r} has no weight and no policy in the"
            " schedule"
        )


def _names(folder: str | Path) -> list[str]:
    return sorted(path.stem for path in Path(folder).glob("*.yaml"))


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML in which a key that is given twice is an error instead of the last one winning, and
    every key is a string.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As SafeLoader's; raises ConstructorError for a repeated key and for one that YAML does
        not read as a string.
        """
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            problem = (
                f"the key {key!r} is there twice"
                if key in seen
                else f"the key {key!r} is not a string; quote it"
            )
            if key in seen or not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    "in a mapping", node.start_mark, problem, key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
