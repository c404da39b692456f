"""What is compared between the splits of finished traces."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from cbdata.sources.registry import SOURCES
from cbdata.sources.split_keys import injection_key, task_key
from cbdata.traces.injections import injection_spans


class Compared(NamedTuple):
    """What must not stand in two splits: the user task by its words and by its name, and the
    attacker's goal. None where the trace has none.
    """

    task: str | None
    task_name: str | None
    injection: str | None


def compared(trace: Mapping[str, Any]) -> Compared:
    """What splits are compared by of a trace_v1."""
    injection: str | None = (trace.get("tool_attack") or {}).get("injection_text")
    task = trace["task"]
    named = trace["source"]["dataset"] in _named() and task.get("name")
    return Compared(
        task_key(trace["messages"], injection_spans(trace)),
        f"{task['family']}/{task['name']}" if named else None,
        injection_key(injection) if trace["labels"]["attack_present"] and injection else None,
    )


@functools.cache
def _named() -> frozenset[str]:
    """The data sets whose traces name their user task."""
    return frozenset(source.name for source in SOURCES if source.named_tasks)
