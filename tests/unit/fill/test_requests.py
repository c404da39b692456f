"""Requests: functions of their item and attempt alone."""

from __future__ import annotations

import array
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from cbdata.fill.requests import RequestKey, Sampling, WorkItem, by_shared_prefix, overlength
from cbdata.fill.settings import FillSettings
from cbdata.fill.token_budget import TokenBudget
from cbdata.records import Mode
from tests.fill_settings import fill_settings

SETTINGS = fill_settings(model="toy", seed=3, temperature_ds=0.7, temperature_dr=0.3)


def item(
    trace: str,
    mode: Mode,
    ids: list[int],
    settings: FillSettings = SETTINGS,
    engine: str = "toy",
) -> WorkItem:
    sampling = Sampling(settings, mode, {"model": engine})
    return WorkItem(trace, 1, mode, array.array("I", ids), "0" * 64, sampling)


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
    assert overlength(768, TokenBudget(256), 1024) is None
    found = overlength(769, TokenBudget(256), 1024)
    assert found is not None and found.reason == "overlength"
    assert found.detail == "769 prompt tokens + max_tokens 256 > max_model_len 1024"
    assert overlength(668, TokenBudget(256, 100), 1024) is None
    found = overlength(669, TokenBudget(256, 100), 1024)
    assert found is not None and found.detail == (
        "669 prompt tokens + max_tokens 256 + max_thinking_tokens 100 > max_model_len 1024"
    )


def test_the_engine_is_given_the_sum_and_a_request_depends_on_that_alone() -> None:
    def asked(answer: int, thinking: int) -> tuple[int, RequestKey]:
        settings = fill_settings(model="toy", max_tokens=answer)
        sampling = Sampling(settings, "ds", {"model": "toy"}, thinking)
        request = WorkItem("a", 1, "ds", array.array("I", [1]), "0" * 64, sampling).request(1)
        return request.max_tokens, request.key

    assert asked(256, 0)[0] == 256 and asked(56, 200) == asked(256, 0)
    assert asked(256, 1)[0] == 257 and asked(256, 1)[1] != asked(256, 0)[1]


def test_a_key_tells_requests_apart_that_ask_for_something_else() -> None:
    settings = fill_settings(model="toy", seed=3, temperature_ds=0.5)
    keys = {
        item("a", "ds", [1]).request(1).key,
        item("a", "ds", [1]).request(2).key,
        item("a", "dr", [1]).request(1).key,
        item("b", "ds", [1]).request(1).key,
        item("a", "ds", [1], settings).request(1).key,
        item("a", "ds", [1], engine="other").request(1).key,
    }
    assert len(keys) == 6
    assert item("a", "ds", [1]).request(1).key == RequestKey(
        "a", "ds", 1, "0" * 64, item("a", "ds", [1]).request(1).sampling_sha256
    )
