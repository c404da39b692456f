"""The DS and the DR of one skeleton: linked with each other where they teach something."""

from __future__ import annotations

from typing import Any

from cbdata.ids import canonical_json
from cbdata.records import Message, Trace

IDENTICAL = "identical_twins"
"""The reason for which twins with one answer are rejects."""


def link_twins(ds: Trace | None, dr: Trace | None) -> None:
    """Note in the DS and the DR trace of one skeleton each other's id, in place; a trace without a
    twin stays as it is.

    Raises ValueError if the two are not a DS and a DR of the same skeleton, or were not cut at the
    same message.
    """
    if ds is None or dr is None:
        return
    modes = [trace["raw_metadata"]["generation"]["mode"] for trace in (ds, dr)]
    parents = [trace["links"]["parent_trace_ids"] for trace in (ds, dr)]
    if modes != ["ds", "dr"] or parents[0] != parents[1]:
        raise ValueError(
            f"{ds['id']} and {dr['id']} are no twins: modes {modes}, parents {parents}"
        )
    cuts = [_cut(trace) for trace in (ds, dr)]
    if cuts[0] != cuts[1]:
        raise ValueError(
            f"{ds['id']} and {dr['id']} are no twins: cut behind {len(cuts[0])} and {len(cuts[1])}"
            " messages, or behind others"
        )
    ds["links"]["paired_trace_id"], dr["links"]["paired_trace_id"] = dr["id"], ds["id"]


def same_answer(ds: Trace, dr: Trace) -> bool:
    """Whether two twins have the same answer: the same words, white space apart, and the same calls
    with the same arguments. Such a pair asks for one answer to be unlearned and kept.
    """
    return _answer(ds["messages"][-1]) == _answer(dr["messages"][-1])


def _cut(trace: Trace) -> list[Any]:
    """What stands before the answer, injections and the run's own system messages apart: who
    speaks, and the calls that were made.
    """
    return [
        [message["role"], message.get("tool_calls", []), message.get("tool_call_id")]
        for message in trace["messages"][:-1]
        if message["role"] != "system"
    ]


def _answer(message: Message) -> bytes:
    calls = [call["function"] for call in message.get("tool_calls", [])]
    return canonical_json(
        [message["content"].split(), [[call["name"], call["arguments"]] for call in calls]]
    )
