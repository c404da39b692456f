"""Figures by mixture class: tokens, tokens with loss, and the weight that training gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cbdata.report.chart import Bar, Figure, Segment, Table, percent, plain, share
from cbdata.report.roles import common_role, group_legend
from cbdata.report.tally import Tally

REST_NAME = "tokens without loss"


@dataclass
class ClassTally:
    """The traces and main loss masks of one data set by mixture class.

    - ``roles``: traces by role
    - ``masks``: ``rows``, ``tokens``, ``trained`` (tokens with loss), ``zero`` (rows of weight 0)
    - ``weights``: the class weights that the masks have
    """

    roles: Tally = field(default_factory=Tally)
    masks: Tally = field(default_factory=Tally)
    weights: dict[str, set[float]] = field(default_factory=dict)

    def add_trace(self, class_id: str, role: str) -> None:
        """Count a trace."""
        self.roles.add((class_id,), role)

    def add_mask(self, mask: Mapping[str, Any]) -> None:
        """Count a row of the main mask file."""
        key, stats = (mask["class_id"],), mask["stats"]
        self.masks.add(key, "rows")
        self.masks.add(key, "tokens", stats["total_tokens"])
        self.masks.add(key, "trained", stats["unmasked_tokens"])
        self.masks.add(key, "zero", int(mask["zero_weight"]))
        if key in self.masks.counts:
            self.weights.setdefault(mask["class_id"], set()).add(mask["class_weight"])

    def merge(self, other: ClassTally) -> None:
        """Take in the counts of another data set."""
        self.roles.merge(other.roles)
        self.masks.merge(other.masks)
        for name, weights in other.weights.items():
            self.weights.setdefault(name, set()).update(weights)

    def roles_of(self, class_id: str) -> Counter[str]:
        """The traces of a class by role."""
        return self.roles.counts.get((class_id,), Counter())


def merged(tallies: Iterable[ClassTally]) -> ClassTally:
    """The counts of several data sets as one."""
    total = ClassTally()
    for tally in tallies:
        total.merge(tally)
    return total


def class_tokens(total: ClassTally) -> Figure | None:
    """Show tokens and tokens with loss by class; None without any mask."""
    if not total.masks:
        return None
    listed = total.masks.top()
    full = max(counts["tokens"] for _, counts in listed)
    trained = sum(counts["trained"] for _, counts in listed)
    rows, drawn = [], []
    for (name,), counts in listed:
        colour = common_role(total.roles_of(name))
        rows.append(
            (
                name,
                f"{counts['rows']:,}",
                f"{counts['tokens']:,}",
                f"{counts['trained']:,}",
                percent(counts["trained"], counts["tokens"]),
                percent(counts["trained"], trained),
            )
        )
        with_loss = share(counts["trained"], full)
        drawn.append(
            Bar(
                (
                    Segment(with_loss, colour, f"with loss: {counts['trained']:,}"),
                    Segment(
                        share(counts["tokens"], full) - with_loss,
                        "rest",
                        f"without loss: {counts['tokens'] - counts['trained']:,}",
                    ),
                )
            )
        )
    zero = sum(counts["zero"] for _, counts in listed)
    note = "Rows of the loss mask files as they are on disk."
    if zero:
        note += f" {zero:,} rows have the weight 0: they are in the files and train nothing."
    return Figure(
        "class-tokens",
        "Tokens and tokens with loss by class",
        note,
        Table(
            ("class", "rows", "tokens", "with loss", "share", "of all loss"),
            rows,
            drawn=drawn,
            drawn_head="tokens, those with loss first",
        ),
        [*group_legend(total.roles_of(name) for (name,), _ in listed), ("rest", REST_NAME)],
    )


def class_weights(stats: Iterable[Mapping[str, Any]], total: ClassTally) -> Figure | None:
    """Show rows, class weight and share of the summed sample weight by class; None where no stats
    of the loss mask stage have classes.

    Args:
        stats: The stats of the run's stages.
        total: The counts of all data sets.
    """
    classes: dict[str, Counter[str]] = {}
    for entry in stats:
        if entry["stage"] == "lossmask":
            for name, values in entry["details"].get("classes", {}).items():
                classes.setdefault(name, Counter()).update(values)
    if not classes:
        return None
    before, after = (
        sum(values[key] for values in classes.values()) for key in ("weight_before", "weight_after")
    )
    weighted = any(values["weight_before"] != values["weight_after"] for values in classes.values())
    kinds = [("unweighted", "weight_before", before), ("weighted", "weight_after", after)]
    rows: list[Sequence[str]] = []
    drawn: list[Bar] = []
    for name, values in sorted(classes.items()):
        weights = ", ".join(f"{weight:g}" for weight in sorted(total.weights.get(name, ()))) or "-"
        for kind, key, whole in kinds if weighted else kinds[1:]:
            share_of = percent(values[key], whole)
            own = [name, kind] if weighted else [name]
            rows.append((*own, f"{values['rows']:,.0f}", weights, share_of))
            drawn.append(plain(common_role(total.roles_of(name)), values[key], whole))
    return Figure(
        "class-weights",
        "Share of the training weight by class",
        "The summed sample weight of the rows, by the traces' own weights and times the class"
        " weights. Class weights come from the curriculum at the configured step; without one they"
        " are 1.",
        Table(
            ("class", *(["sum"] if weighted else []), "rows", "class weight", "share"),
            rows,
            numeric_from=2 if weighted else 1,
            drawn=drawn,
            drawn_head="% of the summed weight",
            grouped=weighted,
        ),
        group_legend(total.roles_of(name) for name in classes),
    )
