"""How much more Python memory an object holds after many records than after few.

SQLite's own memory is not seen: its caches have limits of their own (``cbdata.disk_table``).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType


def held_for_each(holder: object, add: Callable[[int], object], count: int) -> float:
    """Bytes that an object holds more for each record, once the first quarter is in. sqlite3 keeps
    references to the last 200 cursors of a table: some 14 kB, more or less.

    Args:
        holder: The object.
        add: Takes in the record of a number.
        count: How many records.
    """
    first = count // 4
    for number in range(first):
        add(number)
    before = _bytes_of(holder)
    for number in range(first, count):
        add(number)
    return (_bytes_of(holder) - before) / (count - first)


def _bytes_of(holder: object) -> int:
    """Of an object and all that it refers to, without types, modules and functions."""
    seen: set[int] = set()
    waiting, total = [holder], 0
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, (type, ModuleType, FunctionType)):
            continue
        seen.add(id(found))
        total += sys.getsizeof(found)
        waiting += gc.get_referents(found)
    return total
