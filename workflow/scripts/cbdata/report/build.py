"""From the files of a run to the page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from cbdata.atomic_file import AtomicFile
from cbdata.lookup import read_places
from cbdata.lossmask.registry import Registry
from cbdata.mwcs.schedule import load_schedule
from cbdata.records import STAGES
from cbdata.report import figures, yields
from cbdata.report.attacks import attack_figures
from cbdata.report.chart import Figure, percent
from cbdata.report.classes import class_tokens, class_weights, merged
from cbdata.report.collect import MAIN_MASKS, DataSetSummary, RunTallies, collect
from cbdata.report.curriculum import curriculum
from cbdata.report.funnel import funnel, rejects
from cbdata.report.injections import injection_figures
from cbdata.report.inputs import ReportInputs
from cbdata.report.page import FigureSection, render_page
from cbdata.report.pairs import pair_figures
from cbdata.report.published import PublishedRates
from cbdata.report.splits import split_figures
from cbdata.report.timings import run_times, slurm_efficiency, throughput
from cbdata.report.viewer_data import REJECT_BUDGET, TOKEN_BUDGET, viewer_data
from cbdata.report.yield_keys import YIELD_KINDS, YieldTally
from cbdata.skeleton_sets import stem_of

logger = logging.getLogger(__name__)


def _read_stats(paths: Sequence[Path]) -> list[dict[str, Any]]:
    rows = [orjson.loads(path.read_bytes()) for path in paths]
    return sorted(rows, key=lambda row: (STAGES.index(row["stage"]), row["name"]))


def _skeletons(path: Path | None) -> YieldTally:
    tally = YieldTally()
    if path is not None:
        for _, trace in read_places(path):
            tally.add(trace)
    return tally


def _yield_figures(
    inputs: ReportInputs, stats: list[dict[str, Any]], summaries: Sequence[DataSetSummary]
) -> list[Figure | None]:
    """The figures of the fill stage, for each skeleton set; none where nothing was completed."""
    # Fewer than there are skeletons under ``limit``.
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
    if not filled:
        return []
    files = {stem_of(str(path)): path for path in inputs.skeletons}
    found: list[Figure | None] = []
    for stem, modes in filled.items():
        skeletons = _skeletons(files.get(stem))
        most = max(asked[part.name] for part in modes.values())
        of = stem if len(filled) > 1 else ""
        found += [yields.yields_by(kind, skeletons, modes, of) for kind in YIELD_KINDS]
        found.append(yields.yield_by_attempt(most, modes, inputs.attempts, of))
    return [*found, yields.outcomes(stats)]


def _sections(
    inputs: ReportInputs,
    stats: list[dict[str, Any]],
    summaries: Sequence[DataSetSummary],
    tallies: RunTallies,
) -> list[FigureSection]:
    """The figures by part of the page; parts and figures of which there is nothing are left out."""
    classes = merged(part.classes for part in summaries)
    schedule = None if inputs.schedule is None else load_schedule(inputs.schedule)
    parts: list[tuple[str, str, list[Figure | None]]] = [
        (
            "funnel",
            "What became of every record",
            [*funnel(stats, summaries), rejects(stats)],
        ),
        ("yield", "Completions", _yield_figures(inputs, stats, summaries)),
        (
            "attacks",
            "Attacks",
            [
                *attack_figures(
                    [part.attacks for part in summaries], PublishedRates(inputs.published)
                ),
                *injection_figures([part.injections for part in summaries]),
            ],
        ),
        (
            "tokens",
            "Tokens and loss",
            [
                *(figures.lengths(part) for part in summaries),
                class_tokens(classes),
                figures.shares(summaries),
                figures.on_policy(summaries),
            ],
        ),
        (
            "training",
            "Classes, pairs and splits",
            [
                class_weights(stats, classes),
                curriculum(schedule, inputs.step, classes),
                *pair_figures(tallies.pairs),
                *split_figures(tallies.splits),
            ],
        ),
        (
            "run",
            "How it was made",
            [
                figures.provenance(summaries),
                run_times(inputs.benchmarks),
                throughput(stats),
                slurm_efficiency(inputs.efficiency),
            ],
        ),
    ]
    shown = [(key, title, [one for one in found if one]) for key, title, found in parts]
    return [FigureSection(*part) for part in shown if part[2]]


def _settings(inputs: ReportInputs, summaries: Sequence[DataSetSummary]) -> dict[str, Any]:
    """The settings that the page names: without the model where nothing was generated."""
    generated = any(part.by_attempt for part in summaries)
    return {key: value for key, value in inputs.settings.items() if key != "model" or generated}


def _tiles(summaries: Sequence[DataSetSummary]) -> list[tuple[str, str]]:
    shares = [part.shares[MAIN_MASKS] for part in summaries if MAIN_MASKS in part.shares]
    rows, tokens, trained = (
        sum(getattr(share, name) for share in shares) for name in ("rows", "tokens", "trained")
    )
    harmful, benign = (
        sum(part.by_category[name] for part in summaries) for name in ("harmful", "benign")
    )
    renders = sum(part.lengths.total() for part in summaries)
    on_policy = sum(part.on_policy for part in summaries)
    return [
        ("traces", f"{sum(part.traces for part in summaries):,}"),
        ("harmful", f"{harmful:,}"),
        ("benign", f"{benign:,}"),
        ("training rows", f"{rows:,}"),
        ("renders on policy", f"{on_policy:,} ({percent(on_policy, renders)})"),
        ("tokens", f"{tokens:,}"),
        ("tokens with loss", f"{trained:,} ({percent(trained, tokens)})"),
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
        ScheduleError: The curriculum cannot be used.
        PublishedRatesError: A file of published rates cannot be read.
    """
    stats = _read_stats(inputs.stats)
    tallies = RunTallies()
    summaries = [collect(dataset, registry, tallies) for dataset in inputs.datasets]
    index, blocks = viewer_data(inputs, summaries, registry, token_budget, REJECT_BUDGET)
    with AtomicFile(out) as file:
        for piece in render_page(
            title,
            _tiles(summaries),
            _sections(inputs, stats, summaries, tallies),
            _settings(inputs, summaries),
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
