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
from cbdata.report import figures
from cbdata.report.collect import MAIN_MASKS, Facts, collect, subtype
from cbdata.report.inputs import ReportInputs
from cbdata.report.page import Section, render_page
from cbdata.report.timings import run_times, slurm_efficiency, throughput
from cbdata.report.viewer_data import REJECT_BUDGET, TOKEN_BUDGET, viewer_data

logger = logging.getLogger(__name__)

STAGES = ("etl_a", "fill", "render", "lossmask")


def _read_stats(paths: Sequence[Path]) -> list[dict[str, Any]]:
    rows = [orjson.loads(path.read_bytes()) for path in paths]
    return sorted(rows, key=lambda row: (STAGES.index(row["stage"]), row["name"]))


def _wanted(inputs: ReportInputs, stats: Sequence[dict[str, Any]]) -> tuple[Counter[str], int]:
    """Skeletons by subtype, and how many completions of one mode were asked for (fewer than
    skeletons under ``limit``).
    """
    by_subtype: Counter[str] = Counter()
    if inputs.skeletons is not None:
        for _, trace in read_places(inputs.skeletons):
            by_subtype[subtype(trace)] += 1
    asked = [
        row["counts"]["records_in"] - row["counts"]["not_selected"]
        for row in stats
        if row["stage"] == "fill"
    ]
    return by_subtype, max(asked, default=0)


def _sections(
    inputs: ReportInputs, stats: list[dict[str, Any]], facts: Sequence[Facts]
) -> list[Section]:
    filled = {
        name.rsplit("_", 1)[1]: part
        for part in facts
        for name in [part.name]
        if any(row["stage"] == "fill" and row["name"] == name for row in stats)
    }
    sections = [
        Section(
            "funnel",
            "What became of every record",
            [*figures.funnel(stats, facts), figures.rejects(stats)],
        )
    ]
    if filled:
        wanted, asked = _wanted(inputs, stats)
        yields = [
            figures.yield_by_subtype(wanted, filled),
            figures.yield_by_attempt(asked, filled, inputs.attempts),
            figures.outcomes(stats),
        ]
        sections.append(Section("yield", "Completions", [figure for figure in yields if figure]))
    lengths = [figure for part in facts if (figure := figures.lengths(part)) is not None]
    sections.append(
        Section(
            "tokens",
            "Tokens and loss",
            [*lengths, figures.shares(facts), figures.class_weights(stats, facts)],
        )
    )
    runs = [
        figures.provenance(facts),
        run_times(inputs.benchmarks),
        throughput(stats),
        slurm_efficiency(inputs.efficiency),
    ]
    sections.append(Section("run", "How it was made", [figure for figure in runs if figure]))
    return sections


def _tiles(facts: Sequence[Facts]) -> list[tuple[str, str]]:
    shares = [part.shares[MAIN_MASKS] for part in facts if MAIN_MASKS in part.shares]
    rows, tokens, trained = (
        sum(getattr(share, name) for share in shares) for name in ("rows", "tokens", "trained")
    )
    harmful, benign = (
        sum(part.by_category[name] for part in facts) for name in ("harmful", "benign")
    )
    return [
        ("traces", f"{sum(part.traces for part in facts):,}"),
        ("harmful", f"{harmful:,}"),
        ("benign", f"{benign:,}"),
        ("training rows", f"{rows:,}"),
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
    """Read the files of a run and write the page. ``token_budget`` is how many tokens of traces the
    viewer may hold.
    """
    stats = _read_stats(inputs.stats)
    facts = [collect(dataset, registry) for dataset in inputs.datasets]
    index, blocks = viewer_data(inputs, facts, registry, token_budget, REJECT_BUDGET)
    with AtomicFile(out) as file:
        for piece in render_page(
            title, _tiles(facts), _sections(inputs, stats, facts), inputs.settings, index, blocks
        ):
            file.write(piece.encode())
    logger.info(
        "%s: %d of %d traces in the viewer, %.1f MB",
        out,
        len(index["traces"]["id"]),
        sum(len(part.entries) for part in facts),
        out.stat().st_size / 1e6,
    )
