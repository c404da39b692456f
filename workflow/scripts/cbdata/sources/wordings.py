"""Which words mean the same task, so that splits do not tear a task that is worded in two ways.

AgentDojo's benchmark versions word some user tasks and goals anew; the table beside this module has
every wording. What other benchmarks do shows in their records, which name the task that they word.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from cbdata.disk_table import DiskTable
from cbdata.sources.splits import query_key

REMEMBERED = 256
"""So many of the last wordings are not joined again where they come again."""

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
    count. They lie on disk, since every record may have words of its own.
    """

    def __init__(self) -> None:
        # Nodes are tasks and wordings as JSON; each hangs on its parent, and roots have keys.
        self._parents, self._keys = DiskTable(("parent",)), DiskTable(("words",))
        self._joined: set[tuple[Task, str]] = set()

    def join(self, task: Task, words: str) -> None:
        """Take a wording of a task.

        Args:
            task: The task's name.
            words: What one of its records has, with ``oldest`` applied.
        """
        if (task, words) in self._joined:
            return
        if len(self._joined) >= REMEMBERED:
            self._joined.clear()
        self._joined.add((task, words))
        self._join(task, words)
        # Another source may have no other words of a task than the table's.
        for known in table().get("/".join(task), ())[:1]:
            self._join(task, query_key(known))

    def _join(self, task: Task, words: str) -> None:
        one, other = self._root(task), self._root(words)
        keys = [row[0] for row in map(self._keys.get, (one, other)) if row is not None]
        if one != other:
            self._parents.set(other, one)  # the key of what is no root any more is not read again
        # Words of the table go first, since other sources know no others of this task.
        self._keys.set(one, min([*keys, words], key=lambda key: (key not in _oldest(), key)))

    def key(self, task: Task) -> str:
        """One of the wordings of a task, so that a source without names, which has the words alone,
        finds the same key. Where none was taken, the table's, or else its name.
        """
        name = "/".join(task)
        found = self._keys.get(self._root(task))
        words: str = "" if found is None else found[0]
        return words or (goal_key(task) if name in table() else name)

    def _root(self, of: Task | str) -> bytes:
        node = orjson.dumps(of)
        while (parent := self._parents.get(node)) is not None:
            above = self._parents.get(parent[0])
            if above is not None:  # so that long chains grow short
                self._parents.set(node, *above)
            node = parent[0]
        return node
