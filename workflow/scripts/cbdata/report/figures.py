"""The figures of the page: each a chart where one helps, and always the numbers as a table."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cbdata.report.collect import MAIN_MASKS, Facts
from cbdata.report.svg import Bar, bar_chart, histogram

MAX_BARS = 40


@dataclass(frozen=True)
class Table:
    """A table of values that are not escaped yet. Columns from ``numeric_from`` on are
    right-aligned.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    numeric_from: int = 1


@dataclass(frozen=True)
class Figure:
    """One figure: ``svg`` is finished markup or None, ``note`` says what is shown and what is
    not.
    """

    key: str
    title: str
    note: str
    table: Table
    svg: str | None = None


def percent(part: float, whole: float) -> str:
    """A share with one decimal, or a dash."""
    return f"{100 * part / whole:.1f}%" if whole else "-"


@dataclass(frozen=True)
class Step:
    """One step of a funnel: what was counted, and out of how many."""

    source: str
    step: str
    count: int
    of: int


def funnel_steps(stats: Sequence[dict[str, Any]], facts: Sequence[Facts]) -> list[Step]:
    """Raw -> traces -> completions -> rendered -> masked, per source, from the counts of the
    stages.

    A stage ``fill`` of name X_ds or X_dr continues the ETL_A stage of name X_skeletons; other data
    sets go straight from traces to renders.
    """
    by_key = {(row["stage"], row["name"]): row["counts"] for row in stats}
    steps: list[Step] = []
    done: set[str] = set()
    for part in facts:
        fill = by_key.get(("fill", part.name))
        origin = f"{part.name.rsplit('_', 1)[0]}_skeletons" if fill else part.name
        raw = by_key.get(("etl_a", origin))
        total = raw["records_in"] if raw else (fill["records_in"] if fill else part.traces)
        source = origin.removesuffix("_skeletons")
        if raw and origin not in done:
            steps.append(Step(source, "raw records", raw["records_in"], total))
            steps.append(Step(source, "traces", raw["records_out"], total))
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


def funnel(stats: Sequence[dict[str, Any]], facts: Sequence[Facts]) -> list[Figure]:
    """One funnel a source."""
    steps = funnel_steps(stats, facts)
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
    """Rejects, duplicates and records not selected, by stage, file and reason."""
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


def yield_by_subtype(wanted: Counter[str], filled: dict[str, Facts]) -> Figure:
    """Accepted completions per attack subtype. ``wanted`` counts skeletons by subtype, ``filled``
    is by mode (ds, dr).
    """
    rows, groups = [], []
    for name, count in wanted.most_common():
        got = {mode: facts.by_subtype[name] for mode, facts in filled.items()}
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
            "Accepted completions by attack subtype",
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
        "yield-subtype",
        "Yield by attack subtype",
        "A completion is accepted when it does what its mode asks for.",
        Table(head, rows),
        svg,
    )


def yield_by_attempt(wanted: int, filled: dict[str, Facts], attempts: int) -> Figure:
    """Accepted completions by the attempt that was accepted; each attempt is made for what the
    earlier ones left.
    """
    rows, groups = [], []
    for attempt in range(
        1,
        max([attempts, *(number for facts in filled.values() for number in facts.by_attempt)]) + 1,
    ):
        bars = []
        for series, (mode, facts) in enumerate(filled.items()):
            tried = wanted - sum(
                count for number, count in facts.by_attempt.items() if number < attempt
            )
            got = facts.by_attempt[attempt]
            rows.append((f"{attempt}", mode.upper(), f"{tried:,}", f"{got:,}", percent(got, tried)))
            bars.append(Bar(100 * got / tried if tried else 0, f"{got:,} of {tried:,}", series))
        groups.append((f"attempt {attempt}", bars))
    svg = bar_chart(
        "Accepted completions by attempt",
        "accepted, % of those still open",
        groups,
        [mode.upper() for mode in filled],
        100,
    )
    return Figure(
        "yield-attempt",
        "Yield by attempt",
        "Open are the skeletons without an accepted completion yet.",
        Table(("attempt", "mode", "open", "accepted", "yield"), rows),
        svg,
    )


def outcomes(stats: Sequence[dict[str, Any]]) -> Figure | None:
    """What the judge made of every completion, by mode; None where no stats file of the fill stage
    tells.
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
    return Figure(
        "outcomes",
        "Completions by what they do",
        note,
        Table(("outcome", "file", "completions", "share"), rows, numeric_from=2),
        svg,
    )


def length_edges(longest: int) -> list[float]:
    """Bin edges for token lengths: 0, 64, then two a doubling, to past the longest."""
    edges = [0.0, 64.0]
    while edges[-1] <= longest:
        edges.append(float(round(64 * 2 ** ((len(edges) - 1) / 2))))
    return edges


def lengths(facts: Facts) -> Figure | None:
    """Token lengths before the cut, and where the cut is."""
    if not facts.lengths:
        return None
    limit = max(facts.max_lengths)
    edges = length_edges(max(facts.lengths))
    short, long = [0] * (len(edges) - 1), [0] * (len(edges) - 1)
    for length in facts.lengths:
        (short if length <= limit else long)[bisect_right(edges, length) - 1] += 1
    ordered = sorted(facts.lengths)
    cut = sum(max(0, length - limit) for length in ordered)
    rows = [
        (name, f"{ordered[min(int(len(ordered) * share), len(ordered) - 1)]:,}")
        for name, share in (("median", 0.5), ("90%", 0.9), ("99%", 0.99), ("longest", 1))
    ]
    rows += [
        ("longer than max_length", f"{sum(long):,} of {len(ordered):,}"),
        ("truncated", f"{facts.truncated:,}"),
    ]
    rows += [
        ("tokens beyond max_length", f"{cut:,} of {sum(ordered):,} ({percent(cut, sum(ordered))})")
    ]
    svg = histogram(
        f"Token lengths of {facts.name}",
        "tokens a trace, before the cut",
        edges,
        (("within max_length", short), ("longer", long)),
        (limit, f"max_length {limit:,}"),
    )
    note = "Columns are equally wide; their edges grow by the square root of 2."
    return Figure(
        f"lengths-{facts.name}",
        f"Token lengths of {facts.name}",
        note,
        Table(("", "tokens"), rows),
        svg,
    )


def shares(facts: Sequence[Facts]) -> Figure:
    """Tokens with loss out of all tokens, per mask file and per policy."""
    rows, groups = [], []
    for label in dict.fromkeys(label for part in facts for label in part.shares):
        bars = []
        for series, part in enumerate(facts):
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
        groups.append((_share_name(label, *facts), bars))
    svg = (
        bar_chart(
            "Tokens with loss, by policy",
            "tokens with loss, % of all tokens of the rows",
            groups,
            [part.name for part in facts],
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


def _share_name(label: str, *facts: Facts) -> str:
    if label != MAIN_MASKS:
        return label
    policies = {policy for part in facts for policy in part.file_policies.get(label, ())}
    return f"lossmasks ({', '.join(sorted(policies))})"


def class_weights(stats: Iterable[dict[str, Any]], facts: Sequence[Facts]) -> Figure:
    """Rows, weight and share of the summed sample weight by mixture class."""
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
    for part in facts:
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


def provenance(facts: Sequence[Facts]) -> Figure:
    """Model, tokenizer, template and tool schema by name and hash."""
    total: Counter[tuple[str, str, str]] = Counter()
    for part in facts:
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
