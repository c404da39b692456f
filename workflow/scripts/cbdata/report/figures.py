"""The figures of the page. Each has its numbers as a table, and a chart where one helps."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cbdata.report.collect import MAIN_MASKS, DataSetSummary
from cbdata.report.svg import Bar, bar_chart, histogram

MAX_BARS = 40


@dataclass(frozen=True)
class Table:
    """A table of values that are not escaped yet.

    ``numeric_from`` is the index of the first right-aligned column; those after it are, too.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    numeric_from: int = 1


@dataclass(frozen=True)
class Figure:
    """One figure of the page.

    - ``key``: its name in the page's links
    - ``note``: says what is shown and what is not
    - ``table``: the numbers
    - ``svg``: the chart as finished markup, or None
    """

    key: str
    title: str
    note: str
    table: Table
    svg: str | None = None


def percent(part: float, whole: float) -> str:
    """Write a share as a percentage with one decimal; a dash if the whole is 0."""
    return f"{100 * part / whole:.1f}%" if whole else "-"


@dataclass(frozen=True)
class Step:
    """One step of a funnel: ``count`` records of ``of``, those that the funnel begins with."""

    source: str
    step: str
    count: int
    of: int


def funnel_steps(
    stats: Sequence[dict[str, Any]], summaries: Sequence[DataSetSummary]
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
        label = f"{part.name.rsplit('_', 1)[1].upper()} " if fill else ""
        if fill:
            steps.append(
                Step(
                    source,
                    f"{label}completions wanted",
                    fill["records_in"] - fill["not_selected"],
                    total,
                )
            )
            steps.append(Step(source, f"{label}completions accepted", fill["records_out"], total))
        elif not raw:
            steps.append(Step(source, "traces", part.traces, total))
        for stage, verb in (("render", "rendered"), ("lossmask", "masked")):
            if counts := by_key.get((stage, part.name)):
                steps.append(Step(source, label + verb, counts["records_out"], total))
    return steps


def funnel(stats: Sequence[dict[str, Any]], summaries: Sequence[DataSetSummary]) -> list[Figure]:
    """Draw one funnel for each source."""
    steps = funnel_steps(stats, summaries)
    figures = []
    for source in dict.fromkeys(step.source for step in steps):
        own = [step for step in steps if step.source == source]
        bars = [
            (step.step, [Bar(step.count, f"{step.count:,}  {percent(step.count, step.of)}")])
            for step in own
        ]
        table = Table(
            ("step", "records", "of the first"),
            [(step.step, f"{step.count:,}", percent(step.count, step.of)) for step in own],
        )
        note = "Records that are left after each step; what a step lost stands under rejects."
        figures.append(
            Figure(
                f"funnel-{source}",
                source,
                note,
                table,
                bar_chart(f"Funnel of {source}", "records", bars),
            )
        )
    return figures


def rejects(stats: Sequence[dict[str, Any]]) -> Figure:
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
    groups = [
        (f"{reason} · {stage} {name}", [Bar(count, f"{count:,}  {percent(count, total)}")])
        for stage, name, reason, count, total in rows[:MAX_BARS]
    ]
    svg = (
        bar_chart("Records that a stage did not pass on, by reason", "records", groups)
        if rows
        else None
    )
    table = Table(
        ("stage", "file", "reason", "records", "of the stage's input"),
        [
            (stage, name, reason, f"{count:,}", percent(count, total))
            for stage, name, reason, count, total in rows
        ],
        numeric_from=3,
    )
    note = (
        "Each is a row of the reject files and can be read below under Rejects; duplicates and"
        " records outside the limit are counted, not rejected."
    )
    return Figure("rejects", "Rejects by reason", note, table, svg)


def length_edges(longest: int) -> list[float]:
    """Return bin edges for token lengths: 0, 64, then two per doubling, until one is above
    ``longest``.
    """
    edges = [0.0, 64.0]
    while edges[-1] <= longest:
        edges.append(float(round(64 * 2 ** ((len(edges) - 1) / 2))))
    return edges


def lengths(summary: DataSetSummary) -> Figure | None:
    """Show token lengths before the cut, and where the cut is; None without any render."""
    if not summary.lengths:
        return None
    limit = max(summary.max_lengths)
    edges = length_edges(max(summary.lengths))
    short, long = [0] * (len(edges) - 1), [0] * (len(edges) - 1)
    for length in summary.lengths:
        (short if length <= limit else long)[bisect_right(edges, length) - 1] += 1
    ordered = sorted(summary.lengths)
    cut = sum(max(0, length - limit) for length in ordered)
    rows = [
        (name, f"{ordered[min(int(len(ordered) * share), len(ordered) - 1)]:,}")
        for name, share in (("median", 0.5), ("90%", 0.9), ("99%", 0.99), ("longest", 1))
    ]
    rows += [
        ("longer than max_length", f"{sum(long):,} of {len(ordered):,}"),
        ("truncated", f"{summary.truncated:,}"),
    ]
    rows += [
        ("tokens beyond max_length", f"{cut:,} of {sum(ordered):,} ({percent(cut, sum(ordered))})")
    ]
    svg = histogram(
        f"Token lengths of {summary.name}",
        "tokens a trace, before the cut",
        edges,
        (("within max_length", short), ("longer", long)),
        (limit, f"max_length {limit:,}"),
    )
    note = "Columns are equally wide; their edges grow by the square root of 2."
    return Figure(
        f"lengths-{summary.name}",
        f"Token lengths of {summary.name}",
        note,
        Table(("", "tokens"), rows),
        svg,
    )


def on_policy(summaries: Sequence[DataSetSummary]) -> Figure:
    """Show how many renders hold the very ids that the model wrote."""
    rows = [
        (part.name, f"{len(part.lengths):,}", f"{part.on_policy:,}", percent(part.on_policy, total))
        for part in summaries
        if (total := len(part.lengths))
    ]
    note = (
        "A render is on policy where its last turn is the token ids that the model itself wrote"
        " behind this very prompt. The others were printed by the chat template: transcripts of"
        " other models, and everything under completion_tokens: template."
    )
    table = Table(("data set", "renders", "on policy", "share"), rows)
    return Figure("on-policy", "Renders on policy", note, table)


def shares(summaries: Sequence[DataSetSummary]) -> Figure:
    """Show the share of tokens with loss in all tokens, per mask file and per policy."""
    rows, groups = [], []
    for label in dict.fromkeys(label for part in summaries for label in part.shares):
        bars = []
        for series, part in enumerate(summaries):
            share = part.shares.get(label)
            if share is None:
                continue
            rows.append(
                (
                    _share_name(label, part),
                    part.name,
                    f"{share.rows:,}",
                    f"{share.trained:,}",
                    f"{share.tokens:,}",
                    percent(share.trained, share.tokens),
                )
            )
            bars.append(
                Bar(
                    100 * share.trained / share.tokens, percent(share.trained, share.tokens), series
                )
            )
        groups.append((_share_name(label, *summaries), bars))
    svg = (
        bar_chart(
            "Tokens with loss, by policy",
            "tokens with loss, % of all tokens of the rows",
            groups,
            [part.name for part in summaries],
            100,
        )
        if groups
        else None
    )
    note = (
        "Files as they are on disk first, then each policy of the registry on the same renders."
        " Rows without any loss do not count."
    )
    table = Table(
        ("masks", "data set", "rows", "tokens with loss", "tokens", "share"), rows, numeric_from=2
    )
    return Figure("shares", "Trained-token share per policy", note, table, svg)


def _share_name(label: str, *summaries: DataSetSummary) -> str:
    if label != MAIN_MASKS:
        return label
    policies = {policy for part in summaries for policy in part.file_policies.get(label, ())}
    return f"lossmasks ({', '.join(sorted(policies))})"


def class_weights(stats: Iterable[dict[str, Any]], summaries: Sequence[DataSetSummary]) -> Figure:
    """Show rows, class weight and share of the summed sample weight by mixture class."""
    classes: dict[str, dict[str, float]] = {}
    for entry in stats:
        if entry["stage"] == "lossmask":
            for name, values in entry["details"].get("classes", {}).items():
                total = classes.setdefault(
                    name, {"rows": 0, "weight_before": 0.0, "weight_after": 0.0}
                )
                for key in total:
                    total[key] += values[key]
    before, after = (
        sum(values[key] for values in classes.values()) for key in ("weight_before", "weight_after")
    )
    weights: dict[str, set[float]] = {}
    for part in summaries:
        for name, found in part.class_weights.items():
            weights.setdefault(name, set()).update(found)
    rows, groups = [], []
    for name, values in sorted(classes.items()):
        shown = ", ".join(f"{weight:g}" for weight in sorted(weights.get(name, ()))) or "-"
        old, new = percent(values["weight_before"], before), percent(values["weight_after"], after)
        rows.append((name, f"{values['rows']:,.0f}", shown, old, new))
        groups.append(
            (
                name,
                [
                    Bar(100 * values["weight_before"] / before if before else 0, old, 0),
                    Bar(100 * values["weight_after"] / after if after else 0, new, 1),
                ],
            )
        )
    series = ("trace weights alone", "with class weights")
    svg = (
        bar_chart(
            "Share of the training weight by class",
            "share of the summed sample weight, %",
            groups,
            series,
            100,
        )
        if groups
        else None
    )
    table = Table(("class", "rows", "class weight", "share before", "share after"), rows)
    return Figure(
        "classes",
        "Class weights",
        "Class weights come from the curriculum at the configured step; without one they are 1.",
        table,
        svg,
    )


def provenance(summaries: Sequence[DataSetSummary]) -> Figure:
    """List models, tokenizers, templates and tool schemas by name and hash."""
    total: Counter[tuple[str, str, str]] = Counter()
    for part in summaries:
        total.update(part.provenance)
    rows = [(*key, f"{count:,}") for key, count in sorted(total.items())]
    note = (
        "Traces that carry each; more than one tokenizer or template in a run means that its files"
        " are of different makes."
    )
    return Figure(
        "provenance",
        "Model, template and tool schema",
        note,
        Table(("what", "name", "revision or SHA-256", "records"), rows, numeric_from=3),
    )
