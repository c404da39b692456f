"""What yields are told apart by, counted for skeletons and for completions alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cbdata.report.tally import Tally


def attack_kinds(trace: Mapping[str, Any]) -> Sequence[str]:
    """The attack's kind and subtype as the source names them; the suite where it names neither."""
    labels = trace["labels"]
    names = [
        name for name in (labels.get("attack_type"), labels.get("capability_category")) if name
    ]
    return (" / ".join(names) or trace["task"]["family"],)


def suites(trace: Mapping[str, Any]) -> Sequence[str]:
    """The suite or group of tasks."""
    return (trace["task"]["family"],)


def pipelines(trace: Mapping[str, Any]) -> Sequence[str]:
    """Whose transcripts have the prefix of a decision point; none for other skeletons."""
    names: Sequence[str] = (trace.get("decision_point") or {}).get("source_pipelines", ())
    return names


YIELD_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Sequence[str]]] = {
    "attack": attack_kinds,
    "suite": suites,
    "pipeline": pipelines,
}


class YieldTally:
    """Traces by each of YIELD_KINDS."""

    def __init__(self) -> None:
        self.by = {kind: Tally() for kind in YIELD_KINDS}

    def add(self, trace: Mapping[str, Any]) -> None:
        """Count a trace."""
        for kind, names_of in YIELD_KINDS.items():
            for name in names_of(trace):
                self.by[kind].add((name,))
