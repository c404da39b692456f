"""Which records the page holds, where all of them would make it too large to open."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import orjson

from cbdata.disk_table import naming_temporary, selected, temporary_database
from cbdata.ids import digest


class Sample:
    """All items, in a table on disk, and a choice of them: all if their sizes fit a budget, else a
    sample that takes every stratum in turn.

    Within a stratum the order is that of a hash of the id, so the same records give the same
    sample, and a small stratum is there in full before a large one fills the rest. At least one
    item is kept if there is any.
    """

    def __init__(self) -> None:
        self._db = temporary_database(
            "CREATE TABLE items (seq INTEGER PRIMARY KEY, stratum INTEGER, rank TEXT, size INTEGER,"
            " item BLOB); CREATE TABLE chosen (seq INTEGER PRIMARY KEY);"
        )
        self._strata: dict[Hashable, int] = {}
        self._size = self._count = 0

    def add(self, item: Any, stratum: Hashable, name: str, size: int) -> None:
        """Take in an item.

        Args:
            item: A JSON value.
            stratum: What it is one of.
            name: Its id.
            size: Its size, in the unit of the budget.
        """
        number = self._strata.setdefault(stratum, len(self._strata))
        row = (number, digest(["sample", name]), size, orjson.dumps(item))
        with naming_temporary():
            self._db.execute(
                "INSERT INTO items (stratum, rank, size, item) VALUES (?, ?, ?, ?)", row
            )
        self._count += 1
        self._size += size

    def __len__(self) -> int:
        return self._count

    def choose(self, budget: int) -> Iterator[Any]:
        """Yield the chosen items in their order.

        Args:
            budget: What the sizes of the chosen items may add up to.
        """
        query = "SELECT item FROM items ORDER BY seq"
        if self._size > budget:
            with naming_temporary():
                self._mark(budget)
            query = "SELECT item FROM items JOIN chosen USING (seq) ORDER BY seq"
        for (item,) in selected(self._db, query):
            yield orjson.loads(item)

    def _mark(self, budget: int) -> None:
        """Note the chosen items."""
        self._db.execute("CREATE INDEX by_rank ON items (stratum, rank, seq DESC, size)")
        self._db.execute("DELETE FROM chosen")
        waiting = [
            self._db.execute(
                "SELECT seq, size FROM items WHERE stratum = ? ORDER BY rank, seq DESC", (number,)
            )
            for number in self._strata.values()
        ]
        left, first = budget, True
        while waiting:
            going_on = []
            for rows in waiting:
                found = rows.fetchone()
                if found is None or (found[1] > left and not first):
                    continue
                self._db.execute("INSERT INTO chosen VALUES (?)", found[:1])
                left -= found[1]
                first = False
                going_on.append(rows)
            waiting = going_on
