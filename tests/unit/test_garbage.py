"""The collector of cyclic garbage looks less often inside the block, and as before behind it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

import pytest

from cbdata.garbage import ALLOCATIONS, collect_rarely, rare_collections


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_the_threshold_is_put_back_after_an_error_too() -> None:
    gc.set_threshold(700, 10, 10)
    with contextlib.suppress(RuntimeError), rare_collections():
        assert gc.get_threshold() == (ALLOCATIONS, 10, 10)
        raise RuntimeError
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("own", [0, ALLOCATIONS + 1])
def test_who_wants_fewer_looks_or_none_keeps_that(own: int) -> None:
    gc.set_threshold(own, 5, 5)
    with rare_collections():
        assert gc.get_threshold() == (own, 5, 5)
    assert gc.get_threshold() == (own, 5, 5)


def test_a_script_looks_less_often_to_its_end() -> None:
    gc.set_threshold(700, 10, 10)
    collect_rarely()
    with rare_collections():
        assert gc.get_threshold() == (ALLOCATIONS, 10, 10)
    assert gc.get_threshold() == (ALLOCATIONS, 10, 10)
