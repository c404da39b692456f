"""Which words mean the same task, so that splits do not tear a task that is worded in two ways.

AgentDojo's benchmark versions word some user tasks and goals anew; the table beside this module has
every wording. What other benchmarks do shows in their records, which name the task that they word.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from cbdata.sources.splits import query_key

Task = tuple[str, str]
"""A user task, or the goal of an attack, by its names in the benchmark: the suite, and the id."""


@functools.cache
def table() -> Mapping[str, Sequence[str]]:
    """The texts of AgentDojo's user tasks and goals by ``{suite}/{id}``, the oldest first."""
    path = Path(__file__).parent / "agentdojo_wordings.json"
    wordings: dict[str, list[str]] = orjson.loads(path.read_bytes())["wordings"]
    return wordings


@functools.cache
def _oldest() -> Mapping[str, str]:
    """The key of every text of the table to that of the oldest text of its task."""
    return {query_key(text): query_key(texts[0]) for texts in table().values() for text in texts}


def oldest(words: str) -> str:
    """The words that stand for a task of the table, whichever of its wordings is given.

    Args:
        words: As ``query_key`` leaves them.

    Returns:
        The words of the oldest wording; those given, if the table does not have them.
    """
    return _oldest().get(words, words)


def goal_key(goal: Task) -> str:
    """The key of a goal, or a user task, that is known by its name alone: the words of the table,
    or the name.
    """
    name = "/".join(goal)
    return query_key(table().get(name, [name])[0])


class Wordings:
    """The wordings of named tasks. All that hang together, because they are of one task or because
    two tasks have one of them in common, have one key. The order in which they are joined does not
    count.
    """

    def __init__(self) -> None:
        self._parents: dict[Task | str, Task | str] = {}
        self._keys: dict[Task | str, str] = {}

    def join(self, task: Task, words: str) -> None:
        """Take a wording of a task.

        Args:
            task: The task's name.
            words: What one of its records has, with ``oldest`` applied.
        """
        self._join(task, words)
        # Another source may have no other words of a task than the table's.
        for known in table().get("/".join(task), ())[:1]:
            self._join(task, query_key(known))

    def _join(self, task: Task, words: str) -> None:
        one, other = self._root(task), self._root(words)
        keys = [self._keys.pop(root) for root in (one, other) if root in self._keys]
        if one != other:
            self._parents[other] = one
        # Words of the table go first, since other sources know no others of this task.
        self._keys[one] = min([*keys, words], key=lambda key: (key not in _oldest(), key))

    def key(self, task: Task) -> str:
        """One of the wordings of a task, so that a source without names, which has the words alone,
        finds the same key. Where none was taken, the table's, or else its name.
        """
        name = "/".join(task)
        return self._keys.get(self._root(task)) or (goal_key(task) if name in table() else name)

    def _root(self, node: Task | str) -> Task | str:
        while (parent := self._parents.get(node)) is not None:
            above = self._parents.get(parent)
            if above is not None:  # so that long chains grow short
                self._parents[node] = above
            node = parent
        return node
