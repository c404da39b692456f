"""The DS and the DR of one skeleton, linked with each other."""

from __future__ import annotations

from cbdata.records import Trace


def link_twins(ds: Trace | None, dr: Trace | None) -> None:
    """Note in the DS and the DR trace of one skeleton each other's id, in place; a trace without a
    twin stays as it is.

    Raises ValueError if the two are not a DS and a DR of the same skeleton.
    """
    if ds is None or dr is None:
        return
    modes = [trace["raw_metadata"]["generation"]["mode"] for trace in (ds, dr)]
    parents = [trace["links"]["parent_trace_ids"] for trace in (ds, dr)]
    if modes != ["ds", "dr"] or parents[0] != parents[1]:
        raise ValueError(
            f"{ds['id']} and {dr['id']} are no twins: modes {modes}, parents {parents}"
        )
    ds["links"]["paired_trace_id"], dr["links"]["paired_trace_id"] = dr["id"], ds["id"]
