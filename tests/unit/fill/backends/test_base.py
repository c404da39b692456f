"""What every backend shares: the queue, and what a job asks its machine for."""

from __future__ import annotations

from cbdata.fill.backends.base import Needs, RequestQueue
from tests.unit.fill.test_requests import item


def test_further_attempts_come_first_and_in_order() -> None:
    first, second, third = (item(trace, "ds", [1]).request(1) for trace in "abc")
    queue = RequestQueue([first])
    queue.put_first([second, third])
    assert [request.trace_id for request in queue.take(5)] == ["b", "c", "a"]
    assert len(queue) == 0 and queue.take(1) == []


def test_cores_and_memory_grow_with_the_gpus() -> None:
    assert Needs.with_gpus(1) == Needs(1, 4, 36000)
    assert Needs.with_gpus(4) == Needs(4, 8, 72000)
