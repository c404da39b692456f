"""All shards of a skeleton file back together: DS and DR traces in the order of the skeletons, each
row of the skeleton that stands there, twins linked, every record counted.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cbdata.fill.outcome_watch import describe_unread, unread_share
from cbdata.fill.prefix_cache import describe_cache, hit_rate
from cbdata.fill.reasons import REASONS
from cbdata.fill.row_file import read_rows
from cbdata.fill.skeletons import record_name
from cbdata.fill.twins import IDENTICAL, link_twins, same_answer
from cbdata.ids import digest
from cbdata.jsonl import read_records
from cbdata.lookup import Place, PlaceTable, RecordFiles
from cbdata.records import FillOutcome, FillReject, FillRun, FillTrace, Mode, Trace
from cbdata.rejects import Reject
from cbdata.schemas import first_error
from cbdata.stage import NothingRead, StageFiles, StageWriter, hint

logger = logging.getLogger(__name__)


AGAIN = "run fill_shard again (--forcerun fill_shard); what is stored is taken over"


class MergeError(RuntimeError):
    """The shards do not make up the skeleton file: says which row is missing, too many, or made of
    another skeleton.
    """


@dataclass(frozen=True)
class ModeFiles:
    """A mode's data set: its name, and where its data, rejects and stats go."""

    name: str
    files: StageFiles


@dataclass
class _Figures:
    """What the stats of one mode tell beside the counts."""

    outcomes: Counter[str] = field(default_factory=Counter)
    completions: Counter[str] = field(default_factory=Counter)
    by_format: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    attempts: Counter[int] = field(default_factory=Counter)
    arguments: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    linked: int = 0

    def add(self, row: FillOutcome) -> None:
        """Count a row; one that never went to the model has no figures."""
        if row["row"] == "duplicate" or "outcomes" not in row:
            return
        outcomes = row["outcomes"]
        self.outcomes[outcomes[-1]] += 1
        self.completions.update(outcomes)
        self.by_format[_call_format(row)].update(outcomes)
        if row["row"] == "trace":
            self.attempts[len(outcomes)] += 1
            valid = row["arguments_valid"]
            self.arguments["no_call" if valid is None else "valid" if valid else "invalid"] += 1
            self.linked += row["trace"]["links"]["paired_trace_id"] is not None
        self.prompt_tokens += row["prompt_tokens"]
        self.completion_tokens += row["completion_tokens"]

    def details(self) -> dict[str, Any]:
        return {
            "outcomes": dict(sorted(self.outcomes.items())),
            "completions": dict(sorted(self.completions.items())),
            "outcomes_by_format": {
                name: dict(sorted(counts.items()))
                for name, counts in sorted(self.by_format.items())
            },
            "unread_share": round(unread_share(self.completions), 4),
            "accepted_at_attempt": {
                str(attempt): count for attempt, count in sorted(self.attempts.items())
            },
            "accepted_arguments": dict(sorted(self.arguments.items())),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "linked_twins": self.linked,
        }


def _call_format(row: FillTrace | FillReject) -> str:
    """The call format that a row's completions were read in."""
    if row["row"] == "trace":
        generation = row["trace"]["raw_metadata"]["generation"]
    else:
        generation = row["raw"]["generation"]
    return str(generation["call_format"])


def _place_rows(
    shards: Sequence[str | Path], modes: Sequence[Mode]
) -> tuple[PlaceTable, list[FillRun]]:
    """Where the row of every line and mode stands (``_key``), and the shards' rows on their
    runs.
    """
    places = PlaceTable()
    runs: list[FillRun] = []
    for shard in shards:
        for place, row in read_rows(shard):
            if row["row"] == "run":
                runs.append(row)
                continue
            if row["mode"] not in modes:
                continue
            key = _key(row["line"], row["mode"])
            if not places.add(key, place, row["line"]):
                raise MergeError(
                    f"{place}: line {row['line']} in mode {row['mode']} stands at"
                    f" {places.get(key)} already. Hint: are all shards of one layout?"
                )
    if len(runs) != len(shards):
        raise MergeError(
            f"{len(shards)} shard files with {len(runs)} closing rows. Hint: remove the unfinished"
            " file and run its rule again"
        )
    return places, runs


def _key(line: int, mode: Mode) -> str:
    return f"{line} {mode}"


def _throughput(runs: Sequence[FillRun]) -> dict[str, Any]:
    """The work of the runs that made the shard files, both modes together; no part of the data
    depends on it.
    """
    total: dict[str, float] = {
        "generated": sum(run["generated"] for run in runs),
        "reused": sum(run["reused"] for run in runs),
        "prompt_tokens": sum(run["prompt_tokens"] for run in runs),
        "completion_tokens": sum(run["completion_tokens"] for run in runs),
        "seconds": sum(run["seconds"] for run in runs),
        "load_seconds": sum(run["load_seconds"] for run in runs),
    }
    seconds = total["seconds"]
    cached, prompts = _cached(runs)
    rate = hit_rate(cached, prompts)
    return {
        **{key: round(value, 3) for key, value in total.items()},
        "shards": len(runs),
        "prompt_tokens_per_second": round(total["prompt_tokens"] / seconds, 1) if seconds else None,
        "completion_tokens_per_second": (
            round(total["completion_tokens"] / seconds, 1) if seconds else None
        ),
        "cached_prompt_tokens": cached,
        "prefix_cache_hit_rate": None if rate is None else round(rate, 4),
        "prefix_cache": describe_cache(cached, prompts),
    }


def _cached(runs: Sequence[FillRun]) -> tuple[int | None, int]:
    """Prompt tokens that came from the engine's prefix cache, None where no engine had one, and all
    prompt tokens of the engines that say so.
    """
    told = [run for run in runs if run.get("cached_prompt_tokens") is not None]
    if not told:
        return None, sum(run["prompt_tokens"] for run in runs)
    cached = sum(run.get("cached_prompt_tokens") or 0 for run in told)
    return cached, sum(run["prompt_tokens"] for run in told)


def merge_shards(
    skeletons: str | Path,
    shards: Sequence[str | Path],
    files: Mapping[Mode, ModeFiles],
    limit: int | None,
    warn_above: float = 1.0,
) -> None:
    """Write each mode's traces, rejects and stats; where both modes are given, the DS and the DR of
    a skeleton are linked.

    Args:
        skeletons: The file that was completed.
        shards: The shard files of one layout.
        files: Where each mode's files go; rows of other modes are left out.
        limit: Skeletons beyond the first so many are counted as not selected; None for all.
        warn_above: The part of the skeletons, 0 to 1, above which rejects are warned of.

    Raises:
        NothingRead: There is no skeleton.
        MergeError: A selected skeleton has no row in a mode, or two, or one of another skeleton.
        JsonlError: A line of a shard file is not a fill_row_v1.
    """
    places, runs = _place_rows(shards, list(files))
    figures = {mode: _Figures() for mode in files}
    lines = 0
    with ExitStack() as stack:
        index = stack.enter_context(RecordFiles())
        writers = {
            mode: stack.enter_context(StageWriter("fill", part.name, part.files, REASONS))
            for mode, part in files.items()
        }
        for line, record in read_records(skeletons):
            lines = line
            for writer in writers.values():
                writer.take()
            if limit is not None and line > limit:
                for writer in writers.values():
                    writer.not_selected()
                continue
            found = {mode: places.get(_key(line, mode)) for mode in writers}
            rows = _rows(index, found, f"{skeletons}:{line}", line, record)
            for mode, row in _as_twins(rows).items():
                _write(writers[mode], row, Path(skeletons).name)
                figures[mode].add(row)
        wanted = lines if limit is None else min(lines, limit)
        if len(places) > wanted * len(writers):
            _tell_of_more(places, wanted, skeletons)
        for mode, writer in writers.items():
            if not writer.records_in:
                raise NothingRead(
                    f"fill/{files[mode].name}: {skeletons} holds no skeleton. Hint: look at"
                    " skeleton_traces, or run the load stage"
                )
            writer.details = {**figures[mode].details(), "throughput": _throughput(runs)}
            _warn_of_loss(writer, warn_above)
    for mode, part in files.items():
        logger.info("%s: %s", part.name, figures[mode].details())
        logger.info("%s: %s", part.name, describe_unread(figures[mode].completions))
    logger.info("prefix cache: %s", describe_cache(*_cached(runs)))


def _tell_of_more(places: PlaceTable, wanted: int, skeletons: str | Path) -> None:
    """Raise MergeError for the first row of a line behind the last one that was wanted."""
    for _, place, line in places.items():
        if not 1 <= line <= wanted:
            raise MergeError(
                f"{place}: a row for line {line}, which {skeletons} does not have. Hint: {AGAIN}"
            )


def _rows(
    index: RecordFiles,
    places: Mapping[Mode, Place | None],
    where: str,
    line: int,
    record: Mapping[str, Any],
) -> dict[Mode, FillOutcome]:
    """The rows of one skeleton, each known to be made of it by id and content."""
    name, sha256 = record_name(line, record), digest(record)
    rows: dict[Mode, FillOutcome] = {}
    for mode, place in places.items():
        if place is None:
            raise MergeError(
                f"{where}: no shard has a row of mode {mode}. Was the file changed after the shards"
                f" were made? Hint: {AGAIN}"
            )
        row = cast(FillOutcome, index.read(place))
        made_of = _made_of(row)
        if made_of is not None and made_of != name:
            raise MergeError(
                f"{place}: a row of the skeleton {made_of}, but {where} is {name}. The file was"
                f" changed after the shard was made. Hint: {AGAIN}"
            )
        if row.get("record_sha256", sha256) != sha256:
            raise MergeError(
                f"{place}: a row of the skeleton {name} as it was before {where} was changed. Hint:"
                f" {AGAIN}"
            )
        rows[mode] = row
    return rows


def _made_of(row: FillOutcome) -> str | None:
    """The id of the skeleton that a row was made of; None where a row of an earlier version does
    not say.
    """
    if row["row"] == "trace" and "record_id" not in row:
        return row["trace"]["links"]["parent_trace_ids"][0]
    return row.get("record_id")


def _as_twins(rows: dict[Mode, FillOutcome]) -> dict[Mode, FillOutcome]:
    """The rows of one skeleton with their traces linked, or rejected where they are the same."""
    ds, dr = _trace(rows.get("ds")), _trace(rows.get("dr"))
    link_twins(ds, dr)
    if ds is None or dr is None or not same_answer(ds, dr):
        return rows
    return {mode: _identical(cast(FillTrace, row), ds, dr) for mode, row in rows.items()}


def _identical(row: FillTrace, ds: Trace, dr: Trace) -> FillReject:
    """The reject in place of one of two twins with the same answer."""
    trace = row["trace"]
    trace["links"]["paired_trace_id"] = None
    return {
        "row": "reject",
        "line": row["line"],
        "mode": row["mode"],
        "record_id": trace["links"]["parent_trace_ids"][0],
        "reason": IDENTICAL,
        "detail": f"{ds['id']} and {dr['id']} have the same answer",
        "raw": cast(
            dict[str, Any], {"trace": trace, "generation": trace["raw_metadata"]["generation"]}
        ),
        "outcomes": row["outcomes"],
        "arguments_valid": row["arguments_valid"],
        "prompt_tokens": row["prompt_tokens"],
        "completion_tokens": row["completion_tokens"],
    }


def _warn_of_loss(writer: StageWriter, above: float) -> None:
    """Say that few completions were accepted: no error, because yields are low by nature."""
    rejected = writer.rejected.total()
    considered = writer.records_in - writer.unselected
    if rejected and (not writer.records_out or rejected > above * considered):
        reason, count = writer.rejected.most_common(1)[0]
        logger.warning(
            "%s: %d of %d completions were accepted; %d were %s. Hint: %s",
            writer.name,
            writer.records_out,
            considered,
            count,
            reason,
            hint("fill", reason),
        )


def _trace(row: FillOutcome | None) -> Trace | None:
    return row["trace"] if row is not None and row["row"] == "trace" else None


def _write(writer: StageWriter, row: FillOutcome, file: str) -> None:
    if row["row"] == "duplicate":
        writer.duplicate()
    elif row["row"] == "trace":
        trace = cast(dict[str, Any], row["trace"])
        if error := first_error("trace_v1", trace):
            raise MergeError(
                f"{trace.get('id')}: not a trace_v1: {error}. Hint: this is a fault of the"
                " fill stage, please report it"
            )
        writer.emit(trace)
    else:
        writer.reject(
            Reject(row["reason"], row["detail"]),
            file=file,
            line=row["line"],
            record_id=row["record_id"],
            raw=row.get("raw"),
        )
