"""What runs without an attack tell about a user's task: which calls are its own, and which come
next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cbdata.decision_points.goals import Call
from cbdata.decision_points.matching import call_matches
from cbdata.ids import canonical_json, digest
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
        self._runs: dict[TaskKey, set[str]] = {}
        self._calls: dict[TaskKey, dict[bytes, Call]] = {}
        # By the calls that were made so far: what runs that have made them do next.
        self._next: dict[tuple[TaskKey, str], dict[bytes, CallPattern]] = {}
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
        runs, run = self._runs.setdefault(task, set()), digest(turns)
        if run in runs:
            return
        runs.add(run)
        self._made.clear()
        so_far: Counter[bytes] = Counter()
        told: set[str] = set()
        for turn in turns:
            key = _multiset(so_far)
            if key not in told:  # of a run, the first turn at which it has made these calls
                told.add(key)
                patterns = self._next.setdefault((task, key), {})
                for call in turn:
                    pattern = expected_call(*call)
                    patterns.setdefault(canonical_json(pattern), pattern)
            words = list(map(canonical_json, turn))
            self._calls.setdefault(task, {}).update(zip(words, turn, strict=True))
            so_far.update(words)

    def known(self, task: TaskKey) -> bool:
        """Whether there is a solved clean run of a task."""
        return task in self._runs

    def make(self, task: TaskKey, pattern: CallPattern) -> bool:
        """Whether solved clean runs of a task make a call.

        Args:
            task: Suite and user task.
            pattern: The call.
        """
        key = task, canonical_json(pattern)
        if key not in self._made:
            self._made[key] = any(
                call_matches(pattern, tool, arguments)
                for tool, arguments in self._calls.get(task, {}).values()
            )
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
        found = self._next.get((task, _multiset(wanted)))
        return None if found is None else list(found.values())


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
