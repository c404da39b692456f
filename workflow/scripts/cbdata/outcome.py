"""What a run says at its end: what came of every data set, why records were lost and what helps,
where the files are, and what can be done next. At most 30 lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cbdata.hints import hint
from cbdata.records import STAGES

MAX_DATA_SETS = 14
MAX_REASONS = 3
REASONS_OF_A_STAGE = 2
"""The fill stage rejects the most by nature: other stages get a word too."""

NEXT_OF_MASKS = {
    "report": "figures and a viewer of the masks",
    "export": "Parquet files for trainers",
    "validate": "every check of the files",
}
"""Targets that take the masks further, and what they give."""

REPORT = "index.html"
"""The file of the page that the target ``report`` makes."""


@dataclass
class _DataSet:
    """One data set over the stages of this run."""

    name: str
    stages: list[dict[str, Any]] = field(default_factory=list)

    def total(self, key: str) -> int:
        return sum(stats["counts"][key] for stats in self.stages)

    def cells(self) -> list[str]:
        counts = [stats["counts"] for stats in self.stages]
        cut = [
            stats["details"].get("truncated", 0)
            for stats in self.stages
            if stats["stage"] == "render"
        ]
        rates = [_rate(each["records_out"], each["rejected"]) for each in counts]
        overall = 1.0
        for rate in rates:
            overall *= rate
        by_stage = ", ".join(
            f"{stats['stage']} {_percent(rate)}"
            for stats, rate in zip(self.stages, rates, strict=True)
        )
        return [
            self.name,
            f"{counts[0]['records_in']:,}",
            f"{counts[-1]['records_out']:,}",
            f"{self.total('rejected'):,}",
            f"{self.total('duplicates') + self.total('not_selected'):,}",
            f"{sum(cut):,}" if cut else "-",
            _percent(overall),
            by_stage,
        ]


def outcome(
    stats: Sequence[Path],
    *,
    out: str,
    settings: dict[str, Any],
    targets: Sequence[str] = (),
    pages: Sequence[str] = (),
    sweeps: Sequence[Path] = (),
    failed: bool = False,
) -> str:
    """The text that ends a run; empty where it made no data set.

    Args:
        stats: The stats files of the run's stages and data sets; one that is not there is left out.
        out: The folder of all output.
        settings: The configuration, for the names of keys with their values.
        targets: The targets that were asked for.
        pages: Files of this run that people look at or take away.
        sweeps: Stats files of further policies and steps, which are counted in one line.
        failed: Whether a job failed: then the text is about what is there all the same.
    """
    rows = sorted(_read(stats), key=lambda row: STAGES.index(row["stage"]))
    if failed:
        pages = [page for page in pages if Path(page).is_file()]
    if not rows:
        return "\n".join(f"There: {page}" for page in pages)
    sets: dict[str, _DataSet] = {}
    for row in rows:
        sets.setdefault(row["name"], _DataSet(row["name"])).stages.append(row)
    parts = [
        *(["What is there, made by this run or an earlier one:"] if failed else []),
        *_table(list(sets.values())),
        *([] if failed else _empty(list(sets.values()))),
        *([] if failed else _not_completed(rows)),
        *_sweeps(_read(sweeps)),
        # Stats of an earlier run do not say what max_length was then.
        *([] if failed else _cut(rows, settings)),
        *_on_policy(rows),
        *_reasons(rows),
        f"Files: {out} (reject rows with their reasons: {out}/rejects)",
        *(f"There: {page}" for page in pages),
        *([] if failed else [_next(rows, targets, pages)]),
    ]
    return "\n".join(parts)


def _read(paths: Sequence[Path]) -> list[dict[str, Any]]:
    return [orjson.loads(path.read_bytes()) for path in paths if path.is_file()]


def _rate(kept: int, lost: int) -> float:
    """The share that is kept; all of nothing."""
    return kept / (kept + lost) if kept + lost else 1.0


def _percent(share: float) -> str:
    """A share for people, never 0% of something nor 100% of less than all."""
    shown = f"{100 * share:.0f}%"
    if (shown == "100%" and share < 1) or (shown == "0%" and share > 0):
        return f"{100 * share:.2f}%"
    return shown


def _table(sets: list[_DataSet]) -> list[str]:
    head = ["data set", "in", "out", "rejected", "left out", "cut", "yield", "yield of each stage"]
    lines = [head, *(each.cells() for each in sets[:MAX_DATA_SETS])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    last = len(head) - 1
    table = [
        "  ".join(
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    more = sets[MAX_DATA_SETS:]
    if more:
        rejected = sum(each.total("rejected") for each in more)
        table.append(f"... and {len(more)} more data sets, with {rejected:,} rejected")
    return table


def _empty(sets: list[_DataSet]) -> list[str]:
    names = [each.name for each in sets if not each.stages[-1]["counts"]["records_out"]]
    if not names:
        return []
    return [f"WARNING: nothing is left of {', '.join(names[:3])}{_and_more(len(names) - 3)}"]


def _not_completed(rows: list[dict[str, Any]]) -> list[str]:
    """Skeletons that a run with loss masks made and left as they are."""
    if not any(row["stage"] == "lossmask" for row in rows):
        return []
    names = {row["name"] for row in rows}
    made = {row["name"] for row in rows if row["stage"] in {"etl_a", "cut"}}
    stems = [name.removesuffix("_skeletons") for name in made if name.endswith("_skeletons")]
    left = sorted(f"{stem}_skeletons" for stem in stems if not names & {f"{stem}_ds", f"{stem}_dr"})
    if not left:
        return []
    which = ", ".join(left)
    return [f"WARNING: nothing completes {which}: skeleton_traces does not name them"]


def _and_more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _sweeps(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    empty = sum(not row["counts"]["records_out"] for row in rows)
    rejected = sum(row["counts"]["rejected"] for row in rows)
    what = f"{len(rows)} files of masks, {rejected:,} rows rejected in all"
    return [f"Further policies and steps: {what}, {empty} files without a row"]


def _cut(rows: list[dict[str, Any]], settings: dict[str, Any]) -> list[str]:
    renders = [row["details"] for row in rows if row["stage"] == "render"]
    cut, lost, whole = (
        sum(details.get(key, 0) for details in renders)
        for key in ("truncated", "tokens_cut", "tokens_before_cut")
    )
    if not cut:
        return []
    tokens = f"{lost:,} of {whole:,} tokens ({_percent(lost / whole)}) are lost"
    helps = "Hint: raise max_length; overlength=window keeps the end"
    return [f"max_length={settings['max_length']} cut {cut:,} rows, and {tokens}. {helps}"]


def _on_policy(rows: list[dict[str, Any]]) -> list[str]:
    renders = [row for row in rows if row["stage"] == "render"]
    total = sum(row["counts"]["records_out"] for row in renders)
    if not total:
        return []
    own = sum(row["details"].get("on_policy", 0) for row in renders)
    share = f"{own:,} of {total:,} renders ({_percent(own / total)})"
    return [f"On policy (the very ids that the model wrote): {share}"]


def _reasons(rows: list[dict[str, Any]]) -> list[str]:
    counted: Counter[tuple[str, str]] = Counter()
    considered: Counter[tuple[str, str]] = Counter()
    for row in rows:
        for reason, count in row["rejected_by_reason"].items():
            counted[row["stage"], reason] += count
            counts = row["counts"]
            considered[row["stage"], reason] += counts["records_out"] + counts["rejected"]
    if not counted:
        return ["Rejected: nothing"]
    ranked = [key for key, _ in counted.most_common()]
    first = [
        key
        for number, key in enumerate(ranked)
        if [stage for stage, _ in ranked[:number]].count(key[0]) < REASONS_OF_A_STAGE
    ]
    shown = sorted(
        [*first, *(key for key in ranked if key not in first)][:MAX_REASONS],
        key=lambda key: -counted[key],
    )
    return [
        "Rejected most often:",
        *(
            f"  {stage}: {reason}, {counted[stage, reason]:,} of {considered[stage, reason]:,}"
            f" ({_percent(counted[stage, reason] / considered[stage, reason])})."
            f" Hint: {hint(stage, reason)}"
            for stage, reason in shown
        ),
    ]


def _next(rows: list[dict[str, Any]], targets: Sequence[str], pages: Sequence[str]) -> str:
    stages = {row["stage"] for row in rows}
    # A run over little data makes the report without being asked for it.
    done = {*targets, *(["report"] if any(Path(page).name == REPORT for page in pages) else [])}
    if "lossmask" in stages:
        left = {name: what for name, what in NEXT_OF_MASKS.items() if name not in done}
        if not left:
            return "Next: train; examples/ has two scripts that use the export"
        steps = ", ".join(f"{name} ({what})" for name, what in left.items())
    elif "fill" in stages:
        steps = "lossmask (renders and loss masks), or all"
    elif "render" in stages:
        steps = "lossmask (loss masks)"
    elif any(row["name"].endswith("_skeletons") for row in rows):
        steps = "fill (completions by the model), or all (everything up to the loss masks)"
    else:
        steps = "lossmask (renders and loss masks), or all (with the report)"
    return f"Next: the same command with another target at its end, -- TARGET: {steps}"
