"""Python's collector of cyclic garbage, kept from looking too often."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS = 20_000
"""New containers between two looks. Python's own 700 are used up by two or three traces."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for cyclic garbage less often inside the block: a stage that holds a chunk of records
    makes many objects and no cycles, so a look finds nothing and costs a tenth of its time.
    """
    before = gc.get_threshold()
    if 0 < before[0] < ALLOCATIONS:
        gc.set_threshold(ALLOCATIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
