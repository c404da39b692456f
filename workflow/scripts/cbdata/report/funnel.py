"""Figures of what became of every record: what is left after each step, and why others are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cbdata.report.chart import MAX_ROWS, Colour, Figure, Table, left_out, percent, plain
from cbdata.report.collect import DataSetSummary


@dataclass(frozen=True)
class Step:
    """One step of a funnel: ``count`` records of ``of``, those that the funnel begins with.

    ``part`` is the mode that the step belongs to (DS, DR), or "" where it belongs to the source.
    """

    source: str
    step: str
    count: int
    of: int
    part: str = ""


def funnel_steps(
    stats: Sequence[Mapping[str, Any]], summaries: Sequence[DataSetSummary]
) -> list[Step]:
    """Count for each source what is left after each step: raw records, traces, completions,
    renders, masks.

    The numbers are those of the stages' stats. A stage ``fill`` of name X_ds or X_dr continues the
    ETL_A or cut stage of name X_skeletons; other data sets go straight from traces to renders.
    """
    by_key = {(row["stage"], row["name"]): row["counts"] for row in stats}
    steps: list[Step] = []
    done: set[str] = set()
    for part in summaries:
        fill = by_key.get(("fill", part.name))
        origin = f"{part.name.rsplit('_', 1)[0]}_skeletons" if fill else part.name
        raw, units = by_key.get(("etl_a", origin)), ("raw records", "traces")
        if raw is None:
            raw, units = by_key.get(("cut", origin)), ("decision points", "skeletons")
        total = raw["records_in"] if raw else (fill["records_in"] if fill else part.traces)
        source = origin.removesuffix("_skeletons")
        if raw and origin not in done:
            steps.append(Step(source, units[0], raw["records_in"], total))
            steps.append(Step(source, units[1], raw["records_out"], total))
        done.add(origin)
        mode = part.name.rsplit("_", 1)[1].upper() if fill else ""
        if fill:
            wanted = fill["records_in"] - fill["not_selected"]
            steps.append(Step(source, f"{mode} completions wanted", wanted, total, mode))
            accepted = fill["records_out"]
            steps.append(Step(source, f"{mode} completions accepted", accepted, total, mode))
        elif not raw:
            steps.append(Step(source, "traces", part.traces, total))
        for stage, verb in (("render", "rendered"), ("lossmask", "masked")):
            if counts := by_key.get((stage, part.name)):
                name = f"{mode} {verb}".lstrip()
                steps.append(Step(source, name, counts["records_out"], total, mode))
    return steps


PART_COLOURS: Mapping[str, Colour] = {"DS": "ds", "DR": "dr"}
PART_NAMES = {"DS": "harmful completions (DS)", "DR": "benign completions (DR)"}


def funnel(stats: Sequence[Mapping[str, Any]], summaries: Sequence[DataSetSummary]) -> list[Figure]:
    """Draw one funnel for each source."""
    steps = funnel_steps(stats, summaries)
    figures = []
    for source in dict.fromkeys(step.source for step in steps):
        own = [step for step in steps if step.source == source]
        parts = dict.fromkeys(step.part for step in own if step.part)
        figures.append(
            Figure(
                f"funnel-{source}",
                f"Funnel of {source}",
                "Records that are left after each step; what a step lost stands under rejects.",
                Table(
                    ("step", "records", "of the first"),
                    [(step.step, f"{step.count:,}", percent(step.count, step.of)) for step in own],
                    drawn=[
                        plain(PART_COLOURS.get(step.part, "neutral"), step.count, step.of)
                        for step in own
                    ],
                    drawn_head="% of the first",
                ),
                [(PART_COLOURS[part], PART_NAMES[part]) for part in parts if part in PART_NAMES],
            )
        )
    return figures


def rejects(stats: Sequence[Mapping[str, Any]]) -> Figure:
    """Show rejects, duplicates and records not selected, by stage, file and reason."""
    rows = []
    for entry in stats:
        counts = entry["counts"]
        losses = list(entry["rejected_by_reason"].items())
        losses += [
            (f"({name.replace('_', ' ')})", counts[name])
            for name in ("duplicates", "not_selected")
            if counts[name]
        ]
        rows += [
            (entry["stage"], entry["name"], reason, count, counts["records_in"])
            for reason, count in losses
        ]
    rows.sort(key=lambda row: -row[3])
    return Figure(
        "rejects",
        "Rejects by reason",
        "Each is a row of the reject files and can be read below under Rejects; duplicates and"
        f" records outside the limit are counted, not rejected.{left_out(rows)}",
        Table(
            ("reason", "stage and file", "records", "of input"),
            [
                (reason, f"{stage} {name}", f"{count:,}", percent(count, total))
                for stage, name, reason, count, total in rows[:MAX_ROWS]
            ],
            numeric_from=2,
            drawn=[plain("neutral", count, total) for *_, count, total in rows[:MAX_ROWS]],
            drawn_head="% of the stage's input",
        ),
    )
