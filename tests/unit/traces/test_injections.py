"""The places of an injection are the union of both fields of a trace."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.traces.injections import injection_spans


def span(message: int, start: int, end: int) -> dict[str, int]:
    return {"message_index": message, "char_start": start, "char_end": end}


places = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        ({}, []),
        ({"injection_char_span": None}, []),
        ({"injection_char_span": span(1, 2, 3)}, [span(1, 2, 3)]),
        ({"injection_char_spans": [span(1, 2, 3)]}, [span(1, 2, 3)]),
        (
            {
                "injection_char_span": span(0, 0, 1),
                "injection_char_spans": [span(2, 5, 6), span(1, 7, 9)],
            },
            [span(0, 0, 1), span(1, 7, 9), span(2, 5, 6)],
        ),
        (
            {
                "injection_char_span": span(1, 7, 9),
                "injection_char_spans": [span(1, 7, 9), span(1, 2, 4), span(1, 2, 4)],
            },
            [span(1, 2, 4), span(1, 7, 9)],
        ),
    ],
)
def test_both_fields_count(hints: dict[str, Any], expected: list[dict[str, int]]) -> None:
    assert injection_spans({"signal_hints": hints}) == expected


def test_a_place_keeps_the_fields_that_the_list_has_of_it() -> None:
    more = span(1, 2, 3) | {"default_text": "nothing"}
    hints = {"injection_char_span": span(1, 2, 3), "injection_char_spans": [more]}
    assert injection_spans({"signal_hints": hints}) == [more]


@given(st.none() | places, st.lists(places, max_size=5))
def test_the_order_is_the_text_s_and_nothing_is_lost(
    one: tuple[int, int, int] | None, several: list[tuple[int, int, int]]
) -> None:
    hints = {
        "injection_char_span": span(*one) if one else None,
        "injection_char_spans": [span(*place) for place in several],
    }
    named = {*([one] if one else []), *several}
    assert injection_spans({"signal_hints": hints}) == [span(*place) for place in sorted(named)]
