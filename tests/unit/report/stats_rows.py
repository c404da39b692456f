"""Rows of stats files for the tests of the figures."""

from __future__ import annotations

from typing import Any


def stats(
    stage: str,
    name: str,
    records_in: int,
    records_out: int,
    rejected: dict[str, int] | None = None,
    **details: Any,
) -> dict[str, Any]:
    rejected = rejected or {}
    counts = {
        "records_in": records_in,
        "records_out": records_out,
        "rejected": sum(rejected.values()),
        "duplicates": 0,
        "not_selected": 0,
        "headers": 0,
    }
    counts["not_selected"] = records_in - records_out - counts["rejected"]
    return {
        "stage": stage,
        "name": name,
        "counts": counts,
        "rejected_by_reason": rejected,
        "details": details,
    }
