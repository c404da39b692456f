"""What a trace is for in circuit-breaker training, which every figure tells apart by colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from cbdata.report.chart import Bar, Colour, stacked

TraceRole = Literal["ds", "dr", "unseen", "retain"]
TRACE_ROLES: tuple[TraceRole, ...] = get_args(TraceRole)

ROLE_NAMES: Mapping[TraceRole, str] = {
    "ds": "attack followed (harmful, DS)",
    "dr": "attack not followed (benign, DR)",
    "unseen": "attack not seen",
    "retain": "no attack (retain)",
}

SHORT_NAMES: Mapping[TraceRole, str] = {
    "ds": "followed",
    "dr": "not followed",
    "unseen": "not seen",
    "retain": "no attack",
}


def role_of(trace: Mapping[str, Any]) -> TraceRole:
    """The role of a trace_v1 record, from its labels.

    A benign completion of the fill stage is a DR although its prompt may be without the injection.
    """
    labels = trace["labels"]
    if labels["category"] == "harmful":
        return "ds"
    if not labels["attack_present"]:
        return "retain"
    return "dr" if labels["exposed"] or trace["raw_metadata"].get("generation") else "unseen"


def main_role(roles: Mapping[str, int]) -> Colour:
    """The role that most traces of a group have, the first of TRACE_ROLES among equals; neutral
    without traces.
    """
    found = [role for role in TRACE_ROLES if roles.get(role)]
    return max(found, key=lambda role: roles[role]) if found else "neutral"


def role_bar(roles: Mapping[str, int], full: float) -> Bar:
    """A bar of the traces of each role, on an axis that ends at ``full``."""
    return stacked([(role, SHORT_NAMES[role], roles.get(role, 0)) for role in TRACE_ROLES], full)


def role_legend(groups: Iterable[Mapping[str, int]]) -> Sequence[tuple[Colour, str]]:
    """The legend for bars of these groups: the roles that any of them has."""
    total: Counter[str] = Counter()
    for group in groups:
        total.update(group)
    return [(role, ROLE_NAMES[role]) for role in TRACE_ROLES if total[role]]
