from __future__ import annotations

import array
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from cbdata.fill.backends.base import RequestQueue
from cbdata.fill.job import FillSettings
from cbdata.fill.requests import Item, Sampling, by_shared_prefix, overlength

SETTINGS = FillSettings(model="toy", seed=3, temperature_ds=0.7, temperature_dr=0.3)


def item(trace: str, mode: str, ids: list[int], settings: FillSettings = SETTINGS) -> Item:
    return Item(
        trace, 1, mode, array.array("I", ids), "0" * 64, Sampling(settings, mode, {"model": "toy"})
    )  # type: ignore[arg-type]


def test_every_request_has_its_own_seed_and_its_modes_temperature() -> None:
    requests = [
        item(trace, mode, [1]).request(attempt)
        for trace in "ab"
        for mode in ("ds", "dr")
        for attempt in (1, 2)
    ]
    assert len({request.seed for request in requests}) == 8
    assert {(request.mode, request.temperature) for request in requests} == {
        ("ds", 0.7),
        ("dr", 0.3),
    }
    assert all(0 <= request.seed < 2**31 for request in requests)


def test_a_request_depends_on_nothing_but_its_item_and_attempt() -> None:
    assert item("a", "ds", [1, 2]).request(2) == item("a", "ds", [1, 2]).request(2)
    # Written out, because another seed would regenerate every data set.
    assert (
        item("a", "ds", [1, 2]).request(2).seed
        == int(hashlib.sha256(b'[3,"a","ds",2]').hexdigest()[:8], 16) & 0x7FFFFFFF
    )


@given(
    st.lists(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6), min_size=1, max_size=12)
)
def test_order_is_that_of_the_ids_compared_as_numbers(prompts: list[list[int]]) -> None:
    requests = [item(str(number), "ds", ids).request(1) for number, ids in enumerate(prompts)]
    assert [list(request.prompt_ids) for request in by_shared_prefix(requests)] == sorted(prompts)


def test_overlength_counts_prompt_and_longest_completion() -> None:
    assert overlength(768, 256, 1024) is None
    assert overlength(769, 256, 1024) == "769 prompt tokens + max_tokens 256 > max_model_len 1024"


def test_further_attempts_come_first_and_in_order() -> None:
    first, second, third = (item(trace, "ds", [1]).request(1) for trace in "abc")
    queue = RequestQueue([first])
    queue.put_first([second, third])
    assert [request.trace_id for request in queue.take(5)] == ["b", "c", "a"]
    assert len(queue) == 0 and queue.take(1) == []
