"""Counts by category in bounded memory, and the categories that a figure shows of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

LIMIT = 2_000
SHOWN = 30

Key = tuple[str, ...]


class Tally:
    """Counts by category and kind.

    A category is a tuple of texts, all of one length. Those beyond the first ``limit`` are counted
    together, so that labels which differ from record to record cost no memory.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.counts: dict[Key, Counter[str]] = {}
        self.rest: Counter[str] = Counter()

    def add(self, key: Key, kind: str = "", count: int = 1) -> None:
        """Count something.

        Args:
            key: Its category.
            kind: Its kind, of which a category has counts of their own.
            count: How often it is there.
        """
        found = self.counts.get(key)
        if found is None:
            if len(self.counts) >= self.limit:
                self.rest[kind] += count
                return
            found = self.counts[key] = Counter()
        found[kind] += count

    def merge(self, other: Tally, kind: str | None = None) -> None:
        """Take in another tally, all of it as one kind where ``kind`` is given."""
        for key, counts in other.counts.items():
            for name, count in counts.items():
                self.add(key, name if kind is None else kind, count)
        for name, count in other.rest.items():
            self.rest[name if kind is None else kind] += count

    def __iter__(self) -> Iterator[tuple[Key, Counter[str]]]:
        return iter(self.counts.items())

    def __bool__(self) -> bool:
        return bool(self.counts)

    def top(self, shown: int = SHOWN) -> list[tuple[Key, Counter[str]]]:
        """The categories with the highest counts, then one for all others.

        Args:
            shown: How many categories are shown by name.

        Returns:
            Category and counts by kind, sorted by category; the last may be ``other (N)`` for N
            categories that are not shown, where "over N" says that they were too many to count.
        """
        ranked = sorted(self.counts.items(), key=lambda item: (-item[1].total(), item[0]))
        left, others = Counter(self.rest), ranked[shown:]
        for _, counts in others:
            left.update(counts)
        listed = sorted(ranked[:shown])
        if left:
            known = f"over {len(others):,}" if self.rest else f"{len(others):,}"
            width = len(ranked[0][0]) if ranked else 1
            listed.append(((f"other ({known})", *[""] * (width - 1)), left))
        return listed
