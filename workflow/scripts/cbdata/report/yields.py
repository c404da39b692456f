"""Figures of the fill stage: how many completions were accepted, and what the others do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cbdata.fill.outcome_watch import describe_unread
from cbdata.report.collect import DataSetSummary
from cbdata.report.figures import MAX_BARS, Figure, Table, percent
from cbdata.report.svg import Bar, bar_chart


def _title(what: str, of: str) -> str:
    return f"{what}: {of}" if of else what


def yield_by_subtype(
    wanted: Counter[str], filled: dict[str, DataSetSummary], of: str = ""
) -> Figure:
    """Show accepted completions per attack subtype.

    Args:
        wanted: Skeletons by subtype.
        filled: Summary of the completed traces by mode (ds, dr).
        of: Which skeleton set this is, where there are several.
    """
    rows, groups = [], []
    for name, count in wanted.most_common():
        got = {mode: summary.by_subtype[name] for mode, summary in filled.items()}
        rows.append(
            (
                name,
                f"{count:,}",
                *(
                    cell
                    for mode in filled
                    for cell in (f"{got[mode]:,}", percent(got[mode], count))
                ),
            )
        )
        groups.append(
            (
                name,
                [
                    Bar(100 * got[mode] / count, f"{got[mode]:,} of {count:,}", series)
                    for series, mode in enumerate(filled)
                ],
            )
        )
    modes = [mode.upper() for mode in filled]
    svg = (
        bar_chart(
            _title("Accepted completions by attack subtype", of),
            "accepted, % of skeletons",
            groups[:MAX_BARS],
            modes,
            100,
        )
        if groups
        else None
    )
    head = (
        "subtype",
        "skeletons",
        *(cell for mode in modes for cell in (f"{mode} accepted", f"{mode} yield")),
    )
    return Figure(
        f"yield-subtype{of and '-'}{of}",
        _title("Yield by attack subtype", of),
        "A completion is accepted when it does what its mode asks for.",
        Table(head, rows),
        svg,
    )


def yield_by_attempt(
    wanted: int, filled: dict[str, DataSetSummary], attempts: int, of: str = ""
) -> Figure:
    """Show accepted completions by the attempt that was accepted. Each attempt is made for what the
    earlier ones left.

    Args:
        wanted: Skeletons that were to be completed, in each mode.
        filled: Summary of the completed traces by mode (ds, dr).
        attempts: Attempts that the configuration allows; the figure has at least as many groups.
        of: Which skeleton set this is, where there are several.
    """
    rows, groups = [], []
    for attempt in range(
        1,
        max([attempts, *(number for summary in filled.values() for number in summary.by_attempt)])
        + 1,
    ):
        bars = []
        for series, (mode, summary) in enumerate(filled.items()):
            tried = wanted - sum(
                count for number, count in summary.by_attempt.items() if number < attempt
            )
            got = summary.by_attempt[attempt]
            rows.append((f"{attempt}", mode.upper(), f"{tried:,}", f"{got:,}", percent(got, tried)))
            bars.append(Bar(100 * got / tried if tried else 0, f"{got:,} of {tried:,}", series))
        groups.append((f"attempt {attempt}", bars))
    svg = bar_chart(
        _title("Accepted completions by attempt", of),
        "accepted, % of those still open",
        groups,
        [mode.upper() for mode in filled],
        100,
    )
    return Figure(
        f"yield-attempt{of and '-'}{of}",
        _title("Yield by attempt", of),
        "Open are the skeletons without an accepted completion yet.",
        Table(("attempt", "mode", "open", "accepted", "yield"), rows),
        svg,
    )


def outcomes(stats: Sequence[dict[str, Any]]) -> Figure | None:
    """Show the judge's outcomes of all completions, by mode; None if no stats of the fill stage
    have them.
    """
    told = {
        row["name"]: row["details"]["completions"]
        for row in stats
        if row["stage"] == "fill" and row["details"].get("completions")
    }
    if not told:
        return None
    rows, groups = [], []
    for outcome in sorted({outcome for counts in told.values() for outcome in counts}):
        bars = []
        for series, (name, counts) in enumerate(told.items()):
            count, total = counts.get(outcome, 0), sum(counts.values())
            rows.append((outcome, name, f"{count:,}", percent(count, total)))
            bars.append(Bar(count, f"{count:,}  {percent(count, total)}", series))
        groups.append((outcome, bars))
    svg = bar_chart(
        "Completions by what they do", "completions, every attempt counted", groups, list(told)
    )
    note = "DS accepts completions that follow the injection, DR those that do what the user asked."
    for row in stats:
        if row["name"] in told and row["details"].get("outcomes_by_format"):
            formats = ", ".join(row["details"]["outcomes_by_format"])
            unread = describe_unread(told[row["name"]])
            note += f" {row['name']}, read as {formats}: {unread}."
    return Figure(
        "outcomes",
        "Completions by what they do",
        note,
        Table(("outcome", "file", "completions", "share"), rows, numeric_from=2),
        svg,
    )
