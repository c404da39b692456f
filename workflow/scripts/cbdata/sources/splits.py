"""Which split a record falls into: one name for all, or fractions by a hash of what must not be
torn apart.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping

from cbdata.ids import fraction_of
from cbdata.sources import SourceError
from cbdata.sources.options import SplitBy

Split = str | Mapping[str, float]

_BETWEEN_WORDS = re.compile(r"[\W_]+")


class SplitAssigner:
    """Assign records to splits.

    ``split`` is a name, or names with fractions that add up to 1. With fractions the split depends
    on the key alone, never on the order or number of records; names are laid out in sorted order,
    so the order in the config does not count. ``split_by`` says what ``of`` goes by. ``name`` is
    the split of all records where there is only one. Raises SourceError if the fractions cannot be
    used.
    """

    def __init__(self, split: Split, split_by: SplitBy = "task") -> None:
        self._by = split_by
        self.name: str | None = None
        self._bounds: list[tuple[float, str]] = []
        if isinstance(split, str):
            if not split:
                raise SourceError(
                    "split: expected a name or fractions, got an empty string. Hint: split: train"
                )
            self.name = split
            return
        wrong = [
            value
            for value in split.values()
            if type(value) not in (int, float) or not 0 <= value <= 1
        ]
        if wrong or not split or not math.isclose(sum(split.values()), 1, abs_tol=1e-9):
            raise SourceError(
                f"split: expected fractions in [0, 1] that add up to 1, got {dict(split)}. Hint:"
                " split: {train: 0.9, eval: 0.1}"
            )
        total = 0.0
        for name in sorted(split):
            if split[name]:
                total += split[name]
                self._bounds.append((total, name))

    def __call__(self, key: str) -> str:
        """The split of all records with this key."""
        if self.name is not None:
            return self.name
        position = fraction_of(key)
        for bound, name in self._bounds:
            if position < bound:
                return name
        return self._bounds[-1][1]

    def of(self, task: str, injection: str | None) -> str | None:
        """The split of a trace, from its own keys alone, so that it is the same in every source.

        By ``task``, no user task stands in two splits; by ``injection``, no injection does, and
        traces without one go by their task. By ``both``, neither does: a trace whose task and
        injection belong to different splits has none, since in either of them it would be a leak.

        Args:
            task: What the user asked for, the same key wherever it is the same task.
            injection: What the attacker wants, likewise; None without an attack.

        Returns:
            The split's name; None: the trace belongs to none.
        """
        by_task = self(task)
        if injection is None or self._by == "task":
            return by_task
        by_injection = self(f"injection {injection}")
        return by_injection if self._by == "injection" or by_injection == by_task else None


def query_key(query: str) -> str:
    """A query without case, punctuation, spacing and Unicode form, so that trivial rewordings share
    a split.

    Paraphrases in other words are different keys: they cannot be told by a hash.
    """
    folded = unicodedata.normalize("NFKC", query).casefold()
    return _BETWEEN_WORDS.sub(" ", folded).strip() or folded
