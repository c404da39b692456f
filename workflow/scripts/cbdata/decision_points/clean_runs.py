"""What runs without an attack tell about a user's task: which calls are its own, and which come
next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cbdata.decision_points.goals import Call
from cbdata.ids import canonical_json
from cbdata.records import CallPattern, Message

TaskKey = tuple[str, str]
"""Suite and user task."""

LONG_TEXT = 40
"""Characters. A longer argument, or one of several lines, is a text that every model words in its
own way, so any will do. The longest argument of AgentDojo's tools that names a thing, a file's
name, has 34.
"""


def calls_of(messages: Iterable[Message]) -> list[Call]:
    """Every call of some messages, in order."""
    return [
        (call["function"]["name"], call["function"]["arguments"])
        for message in messages
        for call in message.get("tool_calls", ())
    ]


def solved(trace: Mapping[str, Any]) -> bool:
    """Whether a trace is a run without an attack that did what the user wanted, by the benchmark's
    own check (``utility`` of run files, ``success`` of exports).
    """
    fields = trace["raw_metadata"]["source_fields"]
    return (
        not trace["labels"]["attack_present"]
        and trace["completeness"] == "complete"
        and fields.get("utility", fields.get("success")) is True
    )


class CleanRuns:
    """The calls of solved clean runs, by user task."""

    def __init__(self) -> None:
        self._runs: dict[TaskKey, dict[bytes, list[list[Call]]]] = {}

    def add(self, task: TaskKey, messages: Sequence[Message]) -> None:
        """Take in a solved clean run.

        Args:
            task: Its suite and user task.
            messages: The whole conversation.
        """
        turns = [calls_of([message]) for message in messages if message["role"] == "assistant"]
        # Prose between two turns of calls is no answer.
        turns = [turn for turn in turns[:-1] if turn] + turns[-1:]
        self._runs.setdefault(task, {})[canonical_json(turns)] = turns

    def known(self, task: TaskKey) -> bool:
        """Whether there is a solved clean run of a task."""
        return task in self._runs

    def calls(self, task: TaskKey) -> list[Call]:
        """Every call that solved clean runs of a task make."""
        return [
            call for turns in self._runs.get(task, {}).values() for turn in turns for call in turn
        ]

    def next_calls(self, task: TaskKey, made: Sequence[Call]) -> list[CallPattern] | None:
        """What solved clean runs of a task do once they have made some calls.

        Args:
            task: Suite and user task.
            made: The calls so far. A run tells what comes next where it has made the same ones, in
                any order, at the end of one of its turns.

        Returns:
            The calls of the next turn of every such run, without repeats; empty where all of them
            answer without a call. None where no run tells.
        """
        wanted = Counter(map(canonical_json, made))
        found: dict[bytes, CallPattern] = {}
        told = False
        for turns in self._runs.get(task, {}).values():
            so_far: Counter[bytes] = Counter()
            for turn in turns:
                if so_far == wanted:
                    told = True
                    for call in turn:
                        pattern = expected_call(*call)
                        found.setdefault(canonical_json(pattern), pattern)
                    break
                so_far.update(map(canonical_json, turn))
        return list(found.values()) if told else None


def expected_call(tool: str, arguments: Mapping[str, Any]) -> CallPattern:
    """The pattern of a call that a clean run makes.

    Args:
        tool: The tool.
        arguments: Its arguments. Each must be the same but for long texts, of which any will do;
            null is what an argument that is left out is.
    """
    return {
        "tool": tool,
        "arguments": {
            key: {"match": "any"} if _is_long(value) else {"match": "equals", "value": value}
            for key, value in arguments.items()
            if value is not None
        },
    }


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and (len(value) > LONG_TEXT or "\n" in value)
