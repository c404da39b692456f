"""Write configs/attack_goals/agentdojo_v1.json: the calls that carry out AgentDojo's injection
tasks.

Not a script of a rule. It needs the ``agentdojo`` package, whose dependencies do not go together
with the project's, so it runs in an environment of its own and imports little of the project; see
configs/attack_goals/README.md. What a person settled stands in agentdojo_reviewed.json beside the
output and goes before what the ground truth gives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cbdata.decision_points.export_table import write_table

READING = ("get_", "list_", "read_", "search_")
"""How the names of AgentDojo's tools begin that change nothing."""


class Call(Protocol):
    """The part of ``agentdojo.functions_runtime.FunctionCall`` that is exported."""

    function: str
    args: Mapping[str, Any]


def matcher(value: Any, texts: Sequence[str]) -> dict[str, Any] | None:
    """The matcher of an argument that the goal itself tells, None for one that the benchmark made
    up or that depends on the environment.

    Args:
        value: The argument in the ground truth.
        texts: The goal in the words of every benchmark version.
    """
    if isinstance(value, list):
        return (
            {"match": "contains", "value": value[0]}
            if len(value) == 1 and any(str(value[0]) in text for text in texts)
            else None
        )
    word = str(value)
    if not word or not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for text in texts):
        return None
    # A page's address may be written with or without its scheme.
    return {"match": "contains" if word.startswith("www.") else "equals", "value": value}


def goal(suite: str, task: str, texts: Sequence[str], calls: Sequence[Call]) -> dict[str, Any]:
    """The goal of one injection task as its ground truth gives it.

    Args:
        suite: Name of the suite.
        task: Id of the injection task.
        texts: The goal in the words of every benchmark version, without repeats.
        calls: The ground truth.

    Returns:
        ``calls`` that carry it out, and ``preparing_calls`` that only read for these, both without
        repeats.
    """
    patterns = [
        {
            "tool": call.function,
            "arguments": {
                key: found
                for key, value in call.args.items()
                if (found := matcher(value, texts)) is not None
            },
        }
        for call in calls
    ]
    acting = [index for index, call in enumerate(calls) if not call.function.startswith(READING)]
    # A goal of reading alone is carried out by what it reads last.
    last = acting or [len(calls) - 1] if calls else []
    return {
        "suite": suite,
        "injection_task": task,
        "texts": list(texts),
        "calls": _once(patterns[index] for index in last),
        "preparing_calls": _once(
            pattern for index, pattern in enumerate(patterns) if index not in last
        ),
    }


def merged(
    goals: Mapping[str, dict[str, Any]], reviewed: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Put what a person settled before what the ground truth gives.

    Args:
        goals: Goals by id.
        reviewed: ``why`` by goal id, and ``calls`` or ``preparing_calls`` in place of the goal's.

    Raises:
        ValueError: An entry is for no goal, changes nothing, or does not say why.
    """
    for name, entry in reviewed.items():
        if name not in goals or not entry.get("why"):
            raise ValueError(f"{name}: not a goal, or without a reason")
        changed = {"calls", "preparing_calls"} & set(entry)
        if set(entry) - changed != {"why"} or all(
            entry[key] == goals[name][key] for key in changed
        ):
            raise ValueError(f"{name}: changes nothing, or has an unknown key")
    return {name: {**each, **reviewed.get(name, {})} for name, each in goals.items()}


def _once(patterns: Any) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for pattern in patterns:
        if pattern not in kept:
            kept.append(pattern)
    return kept


def collect(versions: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The goals of every suite in some benchmark versions: the texts of all, the calls of the
    last.
    """
    from agentdojo.task_suite.load_suites import get_suites

    texts: dict[tuple[str, str], list[str]] = {}
    calls: dict[tuple[str, str], Sequence[Call]] = {}
    for each in versions:
        for suite_name, suite in get_suites(each).items():
            environment = suite.load_and_inject_default_environment({})
            for task_id, task in suite.injection_tasks.items():
                known = texts.setdefault((suite_name, task_id), [])
                if task.GOAL not in known:
                    known.append(task.GOAL)
                calls[suite_name, task_id] = task.ground_truth(environment.model_copy(deep=True))
    ordered = sorted(calls, key=lambda key: (key[0], int(key[1].rpartition("_")[2])))
    return {
        f"agentdojo/{suite}/{task}": goal(suite, task, texts[suite, task], calls[suite, task])
        for suite, task in ordered
    }


def main() -> None:
    """Write the table."""
    write_table(__file__, __doc__, "configs/attack_goals", "goals", collect, merged)


if __name__ == "__main__":
    main()
