"""What is known of both sides of each pair, on disk: memory does not grow with the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from cbdata.disk_table import DiskTable

SIDES = ("harmful", "benign")


class PairTable:
    """A JSON value for each side of each pair."""

    def __init__(self) -> None:
        self._table = DiskTable(("begins", "value"))

    def add(self, pair: str, side: str, value: Any) -> bool:
        """Remember a side unless it is there.

        Args:
            pair: The pair's id.
            side: One of SIDES.
            value: A JSON value.

        Returns:
            Whether it is new.
        """
        return self._table.add(_key(pair, side), *self._row(pair, side, value))

    def set(self, pair: str, side: str, value: Any) -> None:
        """Remember a side, also instead of an earlier value. Arguments as for ``add``."""
        known = self._table.get(_key(pair, side))
        begins, packed = self._row(pair, side, value)
        self._table.set(_key(pair, side), begins if known is None else known[0], packed)

    def get(self, pair: str, side: str) -> Any:
        """The value of a side, or None."""
        found = self._table.get(_key(pair, side))
        return None if found is None else orjson.loads(found[1])

    def has(self, pair: str, side: str) -> bool:
        """Whether a side is there."""
        return _key(pair, side) in self._table

    def pairs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every pair with the sides that are there, in the order in which the pairs came."""
        for key, begins, _ in self._table.rows():
            if begins:
                pair = key.partition(" ")[2]
                found = {side: self._table.get(_key(pair, side)) for side in SIDES}
                yield pair, {side: orjson.loads(row[1]) for side, row in found.items() if row}

    def _row(self, pair: str, side: str, value: Any) -> tuple[bool, bytes]:
        """Whether the pair begins with this side, and the value as it is stored."""
        other = SIDES[side == SIDES[0]]
        return _key(pair, other) not in self._table, orjson.dumps(value)


def _key(pair: str, side: str) -> str:
    return f"{side} {pair}"
