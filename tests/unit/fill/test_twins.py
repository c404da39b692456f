"""Twins name each other, and nothing else is taken for a pair of twins."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.fill.twins import link_twins


def trace(name: str, mode: str, parent: str = "skeleton") -> Any:
    """The part of a trace that tells whose twin it is."""
    return {
        "id": name,
        "links": {"paired_trace_id": None, "parent_trace_ids": [parent]},
        "raw_metadata": {"generation": {"mode": mode}},
        "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": name}],
    }


def test_twins_name_each_other() -> None:
    ds, dr = trace("a", "ds"), trace("b", "dr")
    link_twins(ds, dr)
    assert (ds["links"]["paired_trace_id"], dr["links"]["paired_trace_id"]) == ("b", "a")


def test_a_trace_without_a_twin_stays_as_it_is() -> None:
    ds, dr = trace("a", "ds"), trace("b", "dr")
    link_twins(ds, None)
    link_twins(None, dr)
    link_twins(None, None)
    assert (ds, dr) == (trace("a", "ds"), trace("b", "dr"))


@pytest.mark.parametrize(
    "pair",
    [
        (trace("a", "dr"), trace("b", "ds")),
        (trace("a", "ds"), trace("b", "ds")),
        (trace("a", "ds"), trace("b", "dr", parent="another")),
    ],
)
def test_strangers_are_no_twins(pair: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="no twins"):
        link_twins(*pair)
