"""The conservation law over what lies on disk, recounted without trusting the stages, and the
summary table of a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cbdata.jsonl import JsonlError, read_records
from cbdata.schemas import first_error


class ConservationViolation(RuntimeError):
    """Files on disk do not add up: names every stage and file where they do not."""


@dataclass
class StageRow:
    """One stage and data set as the summary shows it. ``tokens`` and ``trained_tokens`` are None
    before there are any, ``on_policy`` (rows with the ids that the model wrote) but for renders.
    ``cut`` is the number of renders that ``max_length`` made shorter, None for other stages.
    ``prefix_cache`` says what of the prompts of a fill run was in the engine's cache.
    ``traces`` is the number of traces read where ``records_in`` counts their turns (rows: turn) or
    decision points, else None.
    """

    stage: str
    name: str
    records_in: int
    records_out: int
    rejected: int
    duplicates: int
    not_selected: int
    headers: int
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    tokens: int | None = None
    trained_tokens: int | None = None
    traces: int | None = None
    on_policy: int | None = None
    cut: int | None = None
    prefix_cache: str | None = None


def count_lines(path: str | Path) -> int:
    """Number of lines, read in blocks."""
    lines = 0
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            lines += block.count(b"\n")
    return lines


def check_stage(
    stats_path: str | Path, data: str | Path, rejects: str | Path
) -> tuple[StageRow, list[str]]:
    """Compare a stats file with the lines that stand in its data and reject files.

    Args:
        stats_path: The stats file.
        data: The data file that it counts.
        rejects: The reject file that it counts.

    Returns:
        The row of the summary, and what is wrong.
    """
    stats: dict[str, Any] = orjson.loads(Path(stats_path).read_bytes())
    problems = []
    if error := first_error("stats_v1", stats):
        return StageRow("?", str(stats_path), 0, 0, 0, 0, 0, 0), [
            f"{stats_path}: not a stats file ({error})"
        ]
    counts = stats["counts"]
    where = f"{stats['stage']}/{stats['name']}"
    out_lines, reject_lines = count_lines(data), 0
    reasons: dict[str, int] = {}
    try:
        for _, reject in read_records(rejects):
            reject_lines += 1
            reasons[reject["reason"]] = reasons.get(reject["reason"], 0) + 1
    except (JsonlError, KeyError, TypeError) as error:
        problems.append(f"{where}: reject file {rejects} cannot be read: {error}")
    if out_lines != counts["records_out"]:
        problems.append(
            f"{where}: stats say {counts['records_out']} records out, {data} has {out_lines} lines"
        )
    if reject_lines != counts["rejected"]:
        problems.append(
            f"{where}: stats say {counts['rejected']} rejects, {rejects} has {reject_lines} lines"
        )
    if dict(sorted(reasons.items())) != stats["rejected_by_reason"]:
        problems.append(
            f"{where}: rejects by reason are {reasons}, stats say {stats['rejected_by_reason']}"
        )
    accounted = out_lines + reject_lines + counts["duplicates"] + counts["not_selected"]
    if counts["records_in"] != accounted:
        problems.append(
            f"{where}: {counts['records_in']} records in, {accounted} found on disk and in the"
            " counts"
        )
    details = stats["details"]
    row = StageRow(
        stats["stage"],
        stats["name"],
        **counts,
        rejected_by_reason=stats["rejected_by_reason"],
        tokens=details.get("tokens"),
        trained_tokens=details.get("trained_tokens"),
        traces=details.get("traces") if stats["stage"] in ("cut", "render") else None,
        on_policy=details.get("on_policy") if stats["stage"] == "render" else None,
        cut=details.get("truncated") if stats["stage"] == "render" else None,
        prefix_cache=(details.get("throughput") or {}).get("prefix_cache"),
    )
    return row, problems


def skeletons_of(stem: str) -> str:
    """What ``check_chain`` is given the lines of a skeleton file under."""
    return f"(skeletons of {stem})"


def check_chain(rows: Iterable[StageRow], trace_lines: dict[str, int]) -> list[str]:
    """What one stage puts out must be what the next takes in.

    ``trace_lines`` has the lines of every trace file that was rendered, by data set name, and those
    of the skeletons that were completed under ``skeletons_of`` their stem.
    """
    by_key = {(row.stage, row.name): row for row in rows}
    problems = []
    for (stage, name), row in by_key.items():
        read = row.records_in if row.traces is None else row.traces
        if stage == "render" and name in trace_lines and read != trace_lines[name]:
            problems.append(
                f"render/{name}: read {read} records of a trace file of {trace_lines[name]} lines"
            )
        skeletons = trace_lines.get(skeletons_of(name.rpartition("_")[0]), row.records_in)
        if stage == "fill" and row.records_in != skeletons:
            problems.append(f"fill/{name}: read {row.records_in} records of {skeletons} skeletons")
        parent = by_key.get(("etl_a", f"{name.removesuffix('_skeletons')}_complete"))
        if stage == "cut" and parent and read != parent.records_out:
            problems.append(
                f"cut/{name}: read {read} traces, {parent.name} has {parent.records_out}"
            )
        render = by_key.get(("render", name))
        if stage == "lossmask" and render and row.records_in != render.records_out:
            problems.append(
                f"lossmask/{name}: read {row.records_in} records, the renders are"
                f" {render.records_out}"
            )
    return problems


def summarise(rows: list[StageRow]) -> str:
    """The table that ends a run: a line per stage and file, how many rows are on policy, then the
    reject reasons.
    """
    head = [
        "stage",
        "file",
        "in",
        "out",
        "rejected",
        "duplicates",
        "not selected",
        "cut",
        "tokens",
        "trained tokens",
    ]
    body = [
        [
            row.stage,
            row.name,
            f"{row.records_in:,}",
            f"{row.records_out:,}",
            f"{row.rejected:,}",
            f"{row.duplicates:,}",
            f"{row.not_selected:,}",
            "-" if row.cut is None else f"{row.cut:,}",
            "-" if row.tokens is None else f"{row.tokens:,}",
            "-" if row.trained_tokens is None else f"{row.trained_tokens:,}",
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [head, *body]
    ]
    lines.insert(1, "-" * len(lines[0]))
    reasons = [
        f"  {row.stage}/{row.name}: "
        + ", ".join(f"{reason} {count:,}" for reason, count in row.rejected_by_reason.items())
        for row in rows
        if row.rejected_by_reason
    ]
    return "\n".join(
        [
            *lines,
            "",
            *_on_policy(rows),
            *_prefix_cache(rows),
            "Rejected by reason:",
            *(reasons or ["  none"]),
            "",
        ]
    )


def _on_policy(rows: Iterable[StageRow]) -> list[str]:
    """The share of rendered rows that are on policy; no line where nothing was rendered."""
    counted = [(row.on_policy, row.records_out) for row in rows if row.on_policy is not None]
    own, total = (sum(column) for column in zip(*counted, strict=True)) if counted else (0, 0)
    if not total:
        return []
    share = f"{own:,} of {total:,} rendered rows ({100 * own / total:.1f}%)"
    return [f"On policy, with the very token ids that the model wrote: {share}", ""]


def _prefix_cache(rows: Iterable[StageRow]) -> list[str]:
    """What of its prompts the engine had in its cache, for each skeleton set, whose modes share
    it.
    """
    told = {row.name.rpartition("_")[0]: row.prefix_cache for row in rows if row.prefix_cache}
    if not told:
        return []
    return [
        "Prefix cache of the engine:",
        *(f"  fill/{stem}: {said}" for stem, said in told.items()),
        "",
    ]


def check_run(
    stages: list[tuple[str, str, str]], trace_files: dict[str, str]
) -> tuple[str, dict[str, Any]]:
    """Check every ``(stats, data, rejects)`` triple and the chain between stages; return the table
    and the same as data.

    Raises ConservationViolation with every difference found.
    """
    rows, problems = [], []
    for stats, data, rejects in stages:
        row, wrong = check_stage(stats, data, rejects)
        rows.append(row)
        problems += wrong
    problems += check_chain(rows, {name: count_lines(path) for name, path in trace_files.items()})
    if problems:
        raise ConservationViolation(
            "records are missing or counted twice:\n  - " + "\n  - ".join(problems)
        )
    return summarise(rows), {"conserved": True, "stages": [asdict(row) for row in rows]}
