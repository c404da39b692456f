"""Figures of the fill stage: how many completions were accepted, and what the others do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cbdata.fill.outcome_watch import describe_unread
from cbdata.report.chart import Bar, Colour, Figure, Table, percent, plain
from cbdata.report.collect import DataSetSummary
from cbdata.report.tally import Tally
from cbdata.report.yield_keys import YieldTally

MODE_COLOURS: Mapping[str, Colour] = {"ds": "ds", "dr": "dr"}
LEGEND: Mapping[str, tuple[Colour, str]] = {
    "ds": ("ds", "DS: follow the attack (harmful)"),
    "dr": ("dr", "DR: do what the user asked (benign)"),
}
TITLES = {
    "attack": "attack and subtype",
    "suite": "suite",
    "pipeline": "pipeline of the transcript",
}


def _mode(name: str) -> str:
    """The mode of a data set of the fill stage, the end of its name."""
    return name.rsplit("_", 1)[1]


def _title(what: str, of: str) -> str:
    return f"{what}: {of}" if of else what


def yields_by(
    kind: str, wanted: YieldTally, filled: Mapping[str, DataSetSummary], of: str = ""
) -> Figure | None:
    """Show accepted completions by what the skeletons are.

    Args:
        kind: One of YIELD_KINDS.
        wanted: The skeletons.
        filled: Summary of the completed traces by mode (ds, dr).
        of: Which skeleton set this is, where there are several.

    Returns:
        The figure; None where the skeletons say nothing of the kind.
    """
    combined = Tally()
    combined.merge(wanted.by[kind], "wanted")
    if not combined:
        return None
    for mode, summary in filled.items():
        combined.merge(summary.yields.by[kind], mode)
    rows: list[Sequence[str]] = []
    drawn: list[Bar] = []
    for (name,), counts in combined.top():
        for mode in filled:
            rows.append(
                (
                    name,
                    mode.upper(),
                    f"{counts['wanted']:,}",
                    f"{counts[mode]:,}",
                    percent(counts[mode], counts["wanted"]),
                )
            )
            drawn.append(plain(MODE_COLOURS[mode], counts[mode], counts["wanted"]))
    several = (
        " A skeleton that the transcripts of several pipelines have counts for each."
        if kind == "pipeline"
        else ""
    )
    return Figure(
        f"yield-{kind}{of and '-'}{of}",
        _title(f"Yield by {TITLES[kind]}", of),
        f"A completion is accepted when it does what its mode asks for. {_models(filled.values())}"
        f"{several}",
        Table(
            (TITLES[kind], "mode", "skeletons", "accepted", "yield"),
            rows,
            numeric_from=2,
            drawn=drawn,
            drawn_head="accepted, % of skeletons",
            grouped=True,
        ),
        [LEGEND[mode] for mode in filled],
    )


def _models(summaries: Iterable[DataSetSummary]) -> str:
    """A sentence about who wrote the completions."""
    names = {name for part in summaries for what, name, _ in part.provenance if what == "model"}
    return f"Written by {', '.join(sorted(names))}." if names else ""


def yield_by_attempt(
    wanted: int, filled: Mapping[str, DataSetSummary], attempts: int, of: str = ""
) -> Figure:
    """Show accepted completions by the attempt that was accepted. Each attempt is made for what the
    earlier ones left.

    Args:
        wanted: Skeletons that were to be completed, in each mode.
        filled: Summary of the completed traces by mode (ds, dr).
        attempts: Attempts that the configuration allows; the figure has at least as many groups.
        of: Which skeleton set this is, where there are several.
    """
    rows, drawn = [], []
    for attempt in range(
        1,
        max([attempts, *(number for summary in filled.values() for number in summary.by_attempt)])
        + 1,
    ):
        for mode, summary in filled.items():
            tried = wanted - sum(
                count for number, count in summary.by_attempt.items() if number < attempt
            )
            got = summary.by_attempt[attempt]
            rows.append((f"{attempt}", mode.upper(), f"{tried:,}", f"{got:,}", percent(got, tried)))
            drawn.append(plain(MODE_COLOURS[mode], got, tried))
    return Figure(
        f"yield-attempt{of and '-'}{of}",
        _title("Yield by attempt", of),
        "Open are the skeletons without an accepted completion yet.",
        Table(
            ("attempt", "mode", "open", "accepted", "yield"),
            rows,
            numeric_from=2,
            drawn=drawn,
            drawn_head="accepted, % of the open",
            grouped=True,
        ),
        [LEGEND[mode] for mode in filled],
    )


def outcomes(stats: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Show the judge's outcomes of all completions, by mode; None if no stats of the fill stage
    have them.
    """
    filled = [row for row in stats if row["stage"] == "fill" and row["details"].get("completions")]
    filled.sort(key=lambda row: (_mode(row["name"]) != "ds", row["name"]))
    told = {row["name"]: row["details"]["completions"] for row in filled}
    if not told:
        return None
    rows, drawn = [], []
    for outcome in sorted({outcome for counts in told.values() for outcome in counts}):
        for name, counts in told.items():
            count, total = counts.get(outcome, 0), sum(counts.values())
            rows.append((outcome, name, f"{count:,}", percent(count, total)))
            drawn.append(plain(MODE_COLOURS[_mode(name)], count, total))
    note = (
        "Every attempt counts. DS accepts completions that follow the injection, DR those that do"
        " what the user asked."
    )
    for row in filled:
        if row["details"].get("outcomes_by_format"):
            formats = ", ".join(row["details"]["outcomes_by_format"])
            unread = describe_unread(told[row["name"]])
            note += f" {row['name']}, read as {formats}: {unread}."
    return Figure(
        "outcomes",
        "Completions by what they do",
        note,
        Table(
            ("outcome", "file", "completions", "share"),
            rows,
            numeric_from=2,
            drawn=drawn,
            drawn_head="% of the file's completions",
            grouped=True,
        ),
        [LEGEND[mode] for mode in dict.fromkeys(map(_mode, told))],
    )
