"""From the files of a run to the page."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from cbdata.atomic_file import AtomicFile
from cbdata.lookup import read_places
from cbdata.lossmask.registry import Registry
from cbdata.records import STAGES
from cbdata.report import figures, yields
from cbdata.report.collect import MAIN_MASKS, DataSetSummary, collect, subtype
from cbdata.report.figures import Figure
from cbdata.report.inputs import ReportInputs
from cbdata.report.page import FigureSection, render_page
from cbdata.report.timings import run_times, slurm_efficiency, throughput
from cbdata.report.viewer_data import REJECT_BUDGET, TOKEN_BUDGET, viewer_data
from cbdata.skeleton_sets import stem_of

logger = logging.getLogger(__name__)


def _read_stats(paths: Sequence[Path]) -> list[dict[str, Any]]:
    rows = [orjson.loads(path.read_bytes()) for path in paths]
    return sorted(rows, key=lambda row: (STAGES.index(row["stage"]), row["name"]))


def _completions(
    inputs: ReportInputs, stats: list[dict[str, Any]], summaries: Sequence[DataSetSummary]
) -> list[Figure]:
    """The figures of the fill stage: the yields of each skeleton set, then the outcomes of all."""
    asked = {
        row["name"]: row["counts"]["records_in"] - row["counts"]["not_selected"]
        for row in stats
        if row["stage"] == "fill"
    }
    filled: dict[str, dict[str, DataSetSummary]] = {}
    for part in summaries:
        if part.name in asked:
            stem, _, mode = part.name.rpartition("_")
            filled.setdefault(stem, {})[mode] = part
    files = {stem_of(str(path)): path for path in inputs.skeletons}
    found: list[Figure | None] = []
    for stem, modes in filled.items():
        by_subtype: Counter[str] = Counter()
        if stem in files:
            by_subtype.update(subtype(trace) for _, trace in read_places(files[stem]))
        # Fewer than skeletons under ``limit``.
        most = max(asked[part.name] for part in modes.values())
        of = stem if len(filled) > 1 else ""
        found += [
            yields.yield_by_subtype(by_subtype, modes, of),
            yields.yield_by_attempt(most, modes, inputs.attempts, of),
        ]
    if filled:
        found.append(yields.outcomes(stats))
    return [figure for figure in found if figure]


def _sections(
    inputs: ReportInputs, stats: list[dict[str, Any]], summaries: Sequence[DataSetSummary]
) -> list[FigureSection]:
    sections = [
        FigureSection(
            "funnel",
            "What became of every record",
            [*figures.funnel(stats, summaries), figures.rejects(stats)],
        )
    ]
    if completions := _completions(inputs, stats, summaries):
        sections.append(FigureSection("yield", "Completions", completions))
    lengths = [figure for part in summaries if (figure := figures.lengths(part)) is not None]
    sections.append(
        FigureSection(
            "tokens",
            "Tokens and loss",
            [
                *lengths,
                figures.on_policy(summaries),
                figures.shares(summaries),
                figures.class_weights(stats, summaries),
            ],
        )
    )
    runs = [
        figures.provenance(summaries),
        run_times(inputs.benchmarks),
        throughput(stats),
        slurm_efficiency(inputs.efficiency),
    ]
    sections.append(FigureSection("run", "How it was made", [figure for figure in runs if figure]))
    return sections


def _tiles(summaries: Sequence[DataSetSummary]) -> list[tuple[str, str]]:
    shares = [part.shares[MAIN_MASKS] for part in summaries if MAIN_MASKS in part.shares]
    rows, tokens, trained = (
        sum(getattr(share, name) for share in shares) for name in ("rows", "tokens", "trained")
    )
    harmful, benign = (
        sum(part.by_category[name] for part in summaries) for name in ("harmful", "benign")
    )
    renders = sum(len(part.lengths) for part in summaries)
    on_policy = sum(part.on_policy for part in summaries)
    return [
        ("traces", f"{sum(part.traces for part in summaries):,}"),
        ("harmful", f"{harmful:,}"),
        ("benign", f"{benign:,}"),
        ("training rows", f"{rows:,}"),
        ("renders on policy", f"{on_policy:,} ({figures.percent(on_policy, renders)})"),
        ("tokens", f"{tokens:,}"),
        ("tokens with loss", f"{trained:,} ({figures.percent(trained, tokens)})"),
    ]


def build_report(
    inputs: ReportInputs,
    registry: Registry,
    out: Path,
    title: str = "Circuit-breaker training data",
    token_budget: int = TOKEN_BUDGET,
) -> None:
    """Read the files of a run and write the page.

    Args:
        inputs: The files.
        registry: The policies that the page shows on every trace.
        out: The page.
        title: The heading of the page.
        token_budget: How many tokens of traces the viewer may hold.

    Raises:
        JsonlError: A line of a file is not a record.
    """
    stats = _read_stats(inputs.stats)
    summaries = [collect(dataset, registry) for dataset in inputs.datasets]
    index, blocks = viewer_data(inputs, summaries, registry, token_budget, REJECT_BUDGET)
    with AtomicFile(out) as file:
        for piece in render_page(
            title,
            _tiles(summaries),
            _sections(inputs, stats, summaries),
            inputs.settings,
            index,
            blocks,
        ):
            file.write(piece.encode())
    logger.info(
        "%s: %d of %d traces in the viewer, %.1f MB",
        out,
        len(index["traces"]["id"]),
        sum(len(part.entries) for part in summaries),
        out.stat().st_size / 1e6,
    )
