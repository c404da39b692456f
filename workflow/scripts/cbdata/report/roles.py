"""What a trace is for in circuit-breaker training, which every figure tells apart by colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
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

MIXED_NAME = "several of these"

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


def common_role(roles: Mapping[str, int]) -> Colour:
    """The colour of a group of traces: that of the role that all of them have, or neutral."""
    found = [role for role in TRACE_ROLES if roles.get(role)]
    return found[0] if len(found) == 1 else "neutral"


def role_bar(roles: Mapping[str, int], full: float) -> Bar:
    """A bar of the traces of each role, on an axis that ends at ``full``."""
    return stacked([(role, SHORT_NAMES[role], roles.get(role, 0)) for role in TRACE_ROLES], full)


def role_legend(groups: Iterable[Mapping[str, int]]) -> list[tuple[Colour, str]]:
    """The legend for bars that tell the roles of each group apart: the roles that any has."""
    total: Counter[str] = Counter()
    for group in groups:
        total.update(group)
    return [(role, ROLE_NAMES[role]) for role in TRACE_ROLES if total[role]]


def group_legend(groups: Iterable[Mapping[str, int]]) -> list[tuple[Colour, str]]:
    """The legend for bars that have one colour for each of these groups, by ``common_role``."""
    found = {common_role(group) for group in groups}
    legend: list[tuple[Colour, str]] = [
        (role, ROLE_NAMES[role]) for role in TRACE_ROLES if role in found
    ]
    return [*legend, ("neutral", MIXED_NAME)] if "neutral" in found else legend
