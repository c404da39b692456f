from __future__ import annotations

import hashlib
import struct

from hypothesis import given
from hypothesis import strategies as st

from cbdata import ids

CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"call_id": "1", "function": {"name": "send_money", "arguments": {"to": "x"}}}],
}


def test_a_trace_id_takes_in_tool_calls_role_and_data_set() -> None:
    other = {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"call_id": "1", "function": {"name": "read_file", "arguments": {"to": "x"}}}
        ],
    }
    made = {
        ids.trace_id("a", "ds", [CALL]),
        ids.trace_id("a", "ds", [other]),
        ids.trace_id("a", "dr", [CALL]),
        ids.trace_id("b", "ds", [CALL]),
    }
    assert len(made) == 4
    assert all(
        one.startswith(("trace_a_", "trace_b_")) and len(one) == len("trace_a_") + 32
        for one in made
    )


def test_a_trace_id_does_not_depend_on_key_order() -> None:
    turned = {key: CALL[key] for key in reversed(CALL)}
    assert ids.trace_id("a", "ds", [CALL]) == ids.trace_id("a", "ds", [turned])


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_token_ids_are_hashed_as_little_endian_uint32(tokens: list[int]) -> None:
    assert (
        ids.token_ids_sha256(tokens)
        == hashlib.sha256(struct.pack(f"<{len(tokens)}I", *tokens)).hexdigest()
    )


@given(st.integers(0, 10**6), st.text(), st.sampled_from(["ds", "dr"]), st.integers(1, 50))
def test_request_seeds_fit_a_signed_32_bit_integer(
    seed: int, trace: str, mode: str, attempt: int
) -> None:
    first = ids.request_seed(seed, trace, mode, attempt)
    assert 0 <= first < 2**31
    assert first == ids.request_seed(seed, trace, mode, attempt)
    assert first != ids.request_seed(seed, trace, mode, attempt + 1)


def test_shards_are_of_like_size() -> None:
    counts = [0] * 8
    for number in range(8000):
        counts[ids.shard_of(f"trace_{number}", 8)] += 1
    assert (
        min(counts) > 880 and max(counts) < 1120
    )  # 1000 +- 4 standard deviations of a binomial (30)


@given(st.text())
def test_fractions_are_below_one(key: str) -> None:
    assert 0 <= ids.fraction_of(key) < 1
