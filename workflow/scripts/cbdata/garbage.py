"""Python's collector of cyclic garbage, kept from looking too often."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS = 20_000
"""New containers between two looks. Python's own 700 are used up by two or three traces."""


def collect_rarely() -> None:
    """Look for cyclic garbage less often from now on: importing makes many objects and no cycles.
    For the beginning of a script that runs for a second or two.
    """
    first, *others = gc.get_threshold()
    if 0 < first < ALLOCATIONS:
        gc.set_threshold(ALLOCATIONS, *others)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for cyclic garbage less often inside the block: a stage that holds a chunk of records
    makes many objects and no cycles, so a look finds nothing and costs a tenth of its time.
    """
    before = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)
