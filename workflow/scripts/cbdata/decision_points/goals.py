"""What attacks aim at: the calls that carry an injection task out, from configs/attack_goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cbdata.decision_points.matching import PatternError, call_matches, check_pattern
from cbdata.records import CallPattern

Call = tuple[str, Mapping[str, Any]]
"""A tool and the arguments that it was called with."""


class GoalsError(ValueError):
    """A table of goals cannot be used: names the file and what is wrong."""


@dataclass(frozen=True)
class Goal:
    """The goal of one injection task.

    ``calls`` carry it out, all of them. ``preparing_calls`` only read for these: each is a step of
    the goal where the user's own task does not ask for it. A goal without calls is reached by what
    the model says.
    """

    id: str
    calls: tuple[CallPattern, ...]
    preparing_calls: tuple[CallPattern, ...]

    def carried_out(self, calls: Sequence[Call]) -> bool:
        """Whether some calls carry the goal out; never where it has no calls."""
        return bool(self.calls) and all(
            any(call_matches(pattern, tool, arguments) for tool, arguments in calls)
            for pattern in self.calls
        )


class AttackGoals:
    """The goals of a benchmark by suite and injection task."""

    def __init__(self, goals: Mapping[tuple[str, str], Goal]) -> None:
        self._goals = goals

    @classmethod
    def load(cls, path: str | Path) -> AttackGoals:
        """Read a table. Raises GoalsError."""
        try:
            table = orjson.loads(Path(path).read_bytes())["goals"]
            return cls(
                {
                    (entry["suite"], entry["injection_task"]): Goal(
                        name,
                        _patterns(entry["calls"], f"{name}/calls"),
                        _patterns(entry["preparing_calls"], f"{name}/preparing_calls"),
                    )
                    for name, entry in table.items()
                }
            )
        except PatternError as error:
            raise GoalsError(f"{path}: {error}") from error
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise GoalsError(
                f"{path}: expected a table of attack goals ({type(error).__name__}: {error})."
                " Hint: see configs/attack_goals/README.md for its form"
            ) from error

    def find(self, suite: str | None, injection_task: str | None) -> Goal | None:
        """The goal of an injection task.

        Args:
            suite: ``task.family`` of a trace.
            injection_task: ``task.variant`` of a trace.

        Returns:
            The goal, None where the table does not have it.
        """
        return self._goals.get((suite or "", injection_task or ""))


def _patterns(given: Any, where: str) -> tuple[CallPattern, ...]:
    return tuple(check_pattern(each, f"{where}/{index}") for index, each in enumerate(given))
