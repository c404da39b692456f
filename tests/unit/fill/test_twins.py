"""Twins name each other, and nothing else is taken for a pair of twins."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.fill.twins import link_twins, same_answer


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


def conversation(mode: str, *before: dict[str, Any], **answer: Any) -> Any:
    found = trace(mode, mode)
    found["messages"] = [*before, {"role": "assistant", "content": "", **answer}]
    return found


def made(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"call_id": tool, "function": {"name": tool, "arguments": arguments}}]}


USER = {"role": "user", "content": "Pay."}


@pytest.mark.parametrize(
    ("ds", "dr", "same"),
    [
        ({"content": "Done."}, {"content": " Done.\n"}, True),
        ({"content": "Done."}, {"content": "Done!"}, False),
        (made("pay", to="x", sum=1), made("pay", sum=1, to="x"), True),
        (made("pay", to="x"), made("pay", to="y"), False),
        (made("pay", to="x"), {"content": "pay"}, False),
        ({"content": "Done.", "thinking": "a"}, {"content": "Done.", "thinking": "b"}, True),
    ],
)
def test_an_answer_is_its_words_and_its_calls(
    ds: dict[str, Any], dr: dict[str, Any], same: bool
) -> None:
    twins = conversation("ds", USER, **ds), conversation("dr", USER, **dr)
    assert same_answer(*twins) == same


def test_twins_that_were_cut_at_different_messages_are_none() -> None:
    later = [USER, {"role": "assistant", "content": "", **made("read")}]
    result = {"role": "tool", "content": "text", "tool_call_id": "read"}
    ds = conversation("ds", *later, result)
    with pytest.raises(ValueError, match="cut behind 3 and 1 messages"):
        link_twins(ds, conversation("dr", USER))
    with pytest.raises(ValueError, match="cut behind"):
        link_twins(ds, conversation("dr", USER, {"role": "assistant", "content": "No."}, result))
    # The injection is in the one and not in the other, and a run may add system messages.
    other = {**result, "content": "another text"}
    dr = conversation("dr", {"role": "system", "content": "Beware."}, *later, other)
    link_twins(ds, dr)
    assert ds["links"]["paired_trace_id"] == "dr"
