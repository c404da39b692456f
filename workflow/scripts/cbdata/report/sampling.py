"""Which records the page holds, where all of them would make it too large to open."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

from cbdata.ids import digest

T = TypeVar("T")


def choose(
    items: Sequence[T], keys: Sequence[tuple[Hashable, str]], sizes: Sequence[int], budget: int
) -> list[T]:
    """Choose the items to keep: all if their sizes fit the budget, else a sample that takes every
    stratum in turn.

    Within a stratum the order is that of a hash of the id, so the same records give the same
    sample, and a small stratum is there in full before a large one fills the rest. At least one
    item is kept if there is any.

    Args:
        items: All items.
        keys: The stratum and the id of each.
        sizes: The size of each, in the unit of the budget.
        budget: What the sizes of the chosen items may add up to.

    Returns:
        The chosen items in their order.
    """
    if sum(sizes) <= budget:
        return list(items)
    strata: dict[Hashable, list[int]] = {}
    for index, (stratum, _) in enumerate(keys):
        strata.setdefault(stratum, []).append(index)
    waiting = [
        sorted(indices, key=lambda index: digest(["sample", keys[index][1]]), reverse=True)
        for indices in strata.values()
    ]
    chosen: list[int] = []
    left = budget
    while waiting:
        for indices in waiting:
            index = indices.pop()
            if sizes[index] <= left or not chosen:
                chosen.append(index)
                left -= sizes[index]
            else:
                indices.clear()
        waiting = [indices for indices in waiting if indices]
    return [items[index] for index in sorted(chosen)]
