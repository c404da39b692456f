"""What runs without an attack tell about a user's task: which calls are its own, and which come
next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from cbdata.decision_points.goals import Call
from cbdata.decision_points.matching import call_matches
from cbdata.disk_table import DiskLists, DiskTable
from cbdata.ids import canonical_json, digest
from cbdata.records import CallPattern, Message

TaskKey = tuple[str, str]
"""Suite and user task."""

LONG_TEXT = 40
"""Characters. A longer argument, or one of several lines, is a text that every model words in its
own way, so any will do. The longest argument of AgentDojo's tools that names a thing, a file's
name, has 34.
"""

REMEMBERED = 4096
"""Answers of ``make`` that are kept, so that the same call of many traces is looked up once."""


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
    """The calls of solved clean runs, by user task; in tables on disk, since there may be as many
    as there are runs.
    """

    def __init__(self) -> None:
        self._tasks, self._runs = DiskTable(), DiskTable()
        self._calls = DiskLists()
        # By the calls that were made so far: what runs that have made them do next. None stands
        # for an answer without a call.
        self._next = DiskLists()
        self._made: dict[tuple[TaskKey, bytes], bool] = {}

    def add(self, task: TaskKey, messages: Sequence[Message]) -> None:
        """Take in a solved clean run.

        Args:
            task: Its suite and user task.
            messages: The whole conversation.
        """
        turns = [calls_of([message]) for message in messages if message["role"] == "assistant"]
        # Prose between two turns of calls is no answer.
        turns = [turn for turn in turns[:-1] if turn] + turns[-1:]
        if not self._runs.add(digest([task, turns])):
            return
        self._tasks.add(digest(task))
        self._made.clear()
        so_far: Counter[bytes] = Counter()
        told: set[str] = set()
        for turn in turns:
            key = _multiset(so_far)
            if key not in told:  # of a run, the first turn at which it has made these calls
                told.add(key)
                step = digest([task, key])
                self._next.add(step, b"")
                for call in turn:
                    pattern = expected_call(*call)
                    self._next.add(step, canonical_json(pattern), orjson.dumps(pattern))
            words = list(map(canonical_json, turn))
            for word in words:
                self._calls.add(digest(task), word, word)
            so_far.update(words)

    def known(self, task: TaskKey) -> bool:
        """Whether there is a solved clean run of a task."""
        return digest(task) in self._tasks

    def make(self, task: TaskKey, pattern: CallPattern) -> bool:
        """Whether solved clean runs of a task make a call.

        Args:
            task: Suite and user task.
            pattern: The call.
        """
        key = task, canonical_json(pattern)
        if key not in self._made:
            if len(self._made) >= REMEMBERED:
                self._made.clear()
            calls = map(orjson.loads, self._calls.get(digest(task)))
            self._made[key] = any(call_matches(pattern, *call) for call in calls)
        return self._made[key]

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
        found = list(self._next.get(digest([task, _multiset(wanted)])))
        return [orjson.loads(pattern) for pattern in found if pattern is not None] or (
            [] if found else None
        )


def _multiset(calls: Counter[bytes]) -> str:
    """The same for the same calls in any order."""
    return digest(sorted((call.decode(), count) for call, count in calls.items()))


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
