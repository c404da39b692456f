"""All checks over a set of files, in the order in which they build on each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from cbdata.conservation import check_stage
from cbdata.jsonl import JsonlError
from cbdata.lookup import Place, PlaceTable, RecordIndex, read_places
from cbdata.lossmask.registry import Registry, load_registry
from cbdata.schemas import all_errors, first_error
from cbdata.sources.options import SplitBy
from cbdata.validation.files import KINDS, UnknownFile, find_files, kind_of, stage_paths
from cbdata.validation.findings import Findings
from cbdata.validation.leakage import LeakageChecks
from cbdata.validation.lossmasks import LossmaskChecks
from cbdata.validation.renders import RenderChecks
from cbdata.validation.traces import SeenTraces, check_trace, check_twins


def _sort_files(findings: Findings, paths: Iterable[str | Path]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in find_files(paths):
        try:
            kind = kind_of(path)
        except UnknownFile as error:
            findings.expect("file_readable", False, path, str(error))
            continue
        if kind is None:
            findings.note(f"{path}: it is empty")
            continue
        files[kind].append(path)
    return files


def _each(
    findings: Findings,
    files: Sequence[Path],
    kind: str,
    check: Callable[[Place, dict[str, Any]], None],
) -> None:
    count = 0
    for path in files:
        try:
            for place, record in read_places(path):
                count += 1
                check(place, record)
        except JsonlError as error:
            findings.expect("file_readable", False, path, str(error))
        else:
            findings.expect("file_readable", True, path, "")
    if files:
        findings.records[kind] = count


def _check_stats(findings: Findings, files: Sequence[Path]) -> None:
    for path in files:
        try:
            stats = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError as error:
            findings.expect("file_readable", False, path, str(error))
            continue
        wrong = all_errors("stats_v1", stats)
        if not findings.expect("stats_schema", not wrong, path, wrong):
            continue
        counts = stats["counts"]
        left = sum(counts[key] for key in ("records_out", "rejected", "duplicates", "not_selected"))
        findings.expect(
            "conservation",
            counts["records_in"] == left,
            path,
            f"{counts['records_in']} records in, {left} accounted for",
        )
        places = stage_paths(path)
        if places is None or not all(place.exists() for place in places):
            findings.note(
                f"the lines of the files of {path}: its data or reject file is not beside it"
            )
            continue
        _, problems = check_stage(path, *places)
        findings.expect("conservation", not problems, path, "; ".join(problems))
    if files:
        findings.records["stats"] = len(files)


def _check_complete(
    findings: Findings,
    files: Sequence[Path],
    masks: LossmaskChecks,
    renders: RenderChecks,
    rejected: Counter[tuple[str, str]],
) -> None:
    """Every render of a file must have a mask in each mask file of that name, or a loss mask reject
    under it.
    """
    for path in files:
        if path.stem not in renders.count:
            findings.note(f"whether every render has a mask in {path}: no render file of that name")
            continue
        missing = renders.count[path.stem] - masks.masked[path]
        known = rejected[
            ("lossmask", str(path.with_suffix("").relative_to(path.parents[_depth(path)])))
        ]
        findings.expect(
            "lossmask_complete",
            missing == known,
            path,
            f"{missing} renders without a mask, {known} rejects",
        )


def _depth(path: Path) -> int:
    """Index of the ``lossmasks`` folder among a mask file's parents; 0 where there is none."""
    return next(
        (depth for depth, parent in enumerate(path.parents) if parent.name == "lossmasks"), 0
    )


def validate(
    paths: Iterable[str | Path], registry: Registry | None = None, split_by: SplitBy = "task"
) -> Findings:
    """Run every check that the given files and folders allow.

    Files are recognised by their first record. Joins are checked between the files given: without
    trace files, those with traces are not checked, and so on; the findings say so.

    Args:
        paths: Files, and folders of files.
        registry: The policies that masks were made with; None: the project's.
        split_by: What the splits keep together, as in the configuration. What they do not is noted
            where it stands in several splits, and no failure.

    Raises:
        UnknownFile: A path does not exist.
    """
    findings = Findings()
    files = _sort_files(findings, paths)
    traces = SeenTraces() if files["traces"] else None
    leakage = LeakageChecks(findings, split_by)
    _each(
        findings,
        files["traces"],
        "traces",
        lambda place, row: check_trace(
            findings, place, row, traces if traces is not None else SeenTraces(), leakage
        ),
    )
    leakage.finish()
    if traces is None:
        findings.note("joins with traces: no trace file given")
    else:
        check_twins(findings, traces)
    with RecordIndex.of(traces.places if traces is not None else PlaceTable()) as known:
        renders = RenderChecks(findings, traces, known if traces is not None else None)
        _each(findings, files["renders"], "renders", renders.check)
    rejected: Counter[tuple[str, str]] = Counter()

    def check_reject(place: Place, row: dict[str, Any]) -> None:
        error = first_error("reject_v1", row)
        if findings.expect(
            "reject_schema", error is None, place, lambda: all_errors("reject_v1", row)
        ):
            folder = next(
                (parent for parent in place.path.parents if parent.name == row["stage"]),
                place.path.parent,
            )
            rejected[(row["stage"], str(place.path.relative_to(folder).with_suffix("")))] += 1

    _each(findings, files["rejects"], "rejects", check_reject)
    if files["lossmasks"]:
        with RecordIndex.of(renders.places) as index:
            masks = LossmaskChecks(
                findings, index if files["renders"] else None, traces, registry or load_registry()
            )
            _each(findings, files["lossmasks"], "lossmasks", masks.check)
        if not files["renders"]:
            findings.note("joins with renders: no render file given")
        elif files["rejects"] or files["stats"]:
            _check_complete(findings, files["lossmasks"], masks, renders, rejected)
        else:
            findings.note(
                "whether every render has a mask or a reject: neither rejects nor stats given"
            )
    _check_stats(findings, files["stats"])
    return findings
