"""The cut stage: complete traces to the skeletons of their decision points."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import orjson

from cbdata.decision_points.clean_runs import CleanRuns, solved
from cbdata.decision_points.cut import Cut, CutSettings, cuts, is_cut
from cbdata.decision_points.defaults import InjectionDefaults
from cbdata.decision_points.goals import AttackGoals
from cbdata.decision_points.reasons import REASONS
from cbdata.decision_points.skeleton import (
    Knowledge,
    Parents,
    make_skeleton,
    pipelines,
    task_key,
)
from cbdata.disk_table import DiskTable, naming_temporary, selected, temporary_database
from cbdata.jsonl import read_records
from cbdata.progress import Progress
from cbdata.records import Trace
from cbdata.rejects import Reject
from cbdata.schemas import all_errors, first_error
from cbdata.stage import StageFiles, StageWriter
from cbdata.traces.injections import injection_spans

logger = logging.getLogger(__name__)


class NothingToCut(RuntimeError):
    """No trace of a file has a decision point, so that nothing would be left."""


def cut_decision_points(
    traces: str | Path,
    *,
    goals: str | Path,
    defaults: str | Path,
    settings: CutSettings,
    outputs: StageFiles,
    name: str,
    max_reject_fraction: float = 1.0,
) -> None:
    """Cut the traces of a file; write skeletons, rejects and stats, published together.

    A record of this stage is a decision point: a trace without one is counted as not selected, a
    run that is cut at every turn counts once for each. Decision points of the same suite and user
    task with the same prefix and attack text give one skeleton, at the place of the first; the
    others are duplicates, and their traces are among its parents.

    The file is read twice: a skeleton names all its parents, and what a task's clean runs do is
    known at the end of the file only.

    Args:
        traces: A trace_v1 file.
        goals: The table of attack goals.
        defaults: The table of the environments' own texts.
        settings: Where traces are cut and what is kept.
        outputs: Where skeletons, rejects and stats go.
        name: The data set that is written.
        max_reject_fraction: The largest part of the decision points, 0 to 1, that may be rejected.

    Raises:
        TooManyRejects: More was rejected than is allowed.
        NothingToCut: No trace has a decision point, and not everything may be lost.
        GoalsError: The table of goals cannot be used.
        DefaultsError: The table of defaults cannot be used.
    """
    clean_runs = CleanRuns()
    knowledge = Knowledge(AttackGoals.load(goals), InjectionDefaults.load(defaults), clean_runs)
    parents = _look(traces, settings, clean_runs)
    told: dict[str, Counter[str]] = defaultdict(Counter)
    seen = DiskTable()
    progress = Progress(f"decision points of {Path(traces).name}", files=[traces])
    read = 0
    with StageWriter(
        "cut", name, outputs, REASONS, max_reject_fraction=max_reject_fraction
    ) as writer:
        for line, record in read_records(traces):
            read += 1
            for found in _decision_points(record, settings):
                writer.take()
                try:
                    if found is None:
                        writer.not_selected()
                        told["not_cut"][record["training"]["mixture"]["class_id"]] += 1
                        continue
                    if isinstance(found, Reject):
                        raise found
                    if found.key in seen:
                        writer.duplicate()
                        continue
                    skeleton, restored = make_skeleton(
                        cast(Trace, record), found, parents.get(found.key), knowledge
                    )
                except Reject as why:
                    writer.reject(
                        why,
                        file=Path(traces).name,
                        line=line,
                        record_id=record["id"] if isinstance(record.get("id"), str) else None,
                    )
                    continue
                seen.add(found.key)
                writer.emit(cast(dict[str, Any], skeleton))
                _count(told, skeleton, restored)
            progress.add()
        writer.details = {
            "traces": read,
            **{key: dict(sorted(counts.items())) for key, counts in sorted(told.items())},
        }
        if not writer.records_out and not writer.rejected:
            nothing = NothingToCut(
                f"{name}: no decision point in {read} traces. Hint: decision_points=injection cuts"
                " runs in which an attack is read, every_turn clean runs too; give transcripts"
                " with attacks, or set decision_points=null"
            )
            if max_reject_fraction < 1:
                raise nothing
            logger.warning("%s", nothing)
    progress.finish(f"{writer.records_out} skeletons")


def _decision_points(
    record: dict[str, Any], settings: CutSettings
) -> Iterator[Cut | Reject | None]:
    """The decision points of a record; None stands for a trace without one."""
    if first_error("trace_v1", record):
        yield Reject("invalid_trace", all_errors("trace_v1", record))
        return
    if not is_cut(record, settings):
        yield None
        return
    try:
        found = list(cuts(record, settings))
    except Reject as why:
        yield why
        return
    yield from found or (None,)


class _ParentTable:
    """The parents of every decision point by its key, in a table on disk."""

    def __init__(self) -> None:
        self._db = temporary_database(
            "CREATE TABLE parents (key TEXT, trace TEXT, names BLOB);"
            " CREATE INDEX by_key ON parents (key);"
        )

    def add(self, key: str, trace_id: str, names: Iterable[str]) -> None:
        """Add one parent, a trace with the names of its pipelines."""
        row = (key, trace_id, orjson.dumps(list(names)))
        with naming_temporary():
            self._db.execute("INSERT INTO parents VALUES (?, ?, ?)", row)

    def get(self, key: str) -> Parents:
        """The parents of a decision point."""
        query = "SELECT trace, names FROM parents WHERE key = ?"
        found = selected(self._db, query, (key,))
        ids, names = set(), set()
        for trace_id, packed in found:
            ids.add(trace_id)
            names.update(orjson.loads(packed))
        return Parents(frozenset(ids), frozenset(names))


def _look(traces: str | Path, settings: CutSettings, clean_runs: CleanRuns) -> _ParentTable:
    """Read the file once: give what solved clean runs do to ``clean_runs``, and return the parents
    of every decision point by its key.
    """
    parents = _ParentTable()
    for _, record in read_records(traces):
        for found in _decision_points(record, settings):
            if isinstance(found, Cut):
                parents.add(found.key, record["id"], pipelines(record))
            if not isinstance(found, Reject) and solved(record):
                clean_runs.add(task_key(record), record["messages"])
    return parents


def _count(told: dict[str, Counter[str]], skeleton: Trace, restored: int) -> None:
    point = skeleton["decision_point"]
    told["kinds"][point["kind"]] += 1
    told["skeletons_by_pipeline"].update(point["source_pipelines"])
    expected = skeleton.get("tool_attack", {}).get("expected_calls")
    told["expected_calls"][
        "unknown" if expected is None else "calls" if expected else "answer"
    ] += 1
    if point["kind"] == "injection":
        spans = len(injection_spans(skeleton))
        told["default_text"][
            "every_span" if restored == spans else "some_spans" if restored else "no_span"
        ] += 1
