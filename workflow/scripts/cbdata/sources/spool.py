"""Converted records on disk between conversion and publication, so that duplicates are found
without holding them in memory.

A record can be dropped, or has to name its copies, only when every other record is known. Lines
therefore go to a spool file first; what decides about them (a few dozen bytes each) goes to a
temporary SQLite database, whose page cache is bounded.
"""

from __future__ import annotations

import contextlib
import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cbdata.atomic_file import BUFFER_BYTES, FileError, naming, part_path, remove_part
from cbdata.disk_table import naming_sorts, naming_sqlite, sort_in_tmpdir
from cbdata.jsonl import dumps
from cbdata.rejects import Reasons, Reject
from cbdata.sources import SourceError
from cbdata.sources.options import CLASS_CAP, LoadOptions
from cbdata.stage import StageFiles, StageWriter
from cbdata.traces.class_caps import sample_rank

_BATCH = 512
_COPY_BYTES = BUFFER_BYTES
_SCHEMA = """
CREATE TABLE records (seq INTEGER PRIMARY KEY, start INTEGER, length INTEGER, id TEXT, verdict TEXT, rank INTEGER, alias TEXT, facts INTEGER, class TEXT, omitted TEXT);
CREATE TABLE fates (seq INTEGER PRIMARY KEY, fate TEXT, payload TEXT);
"""  # noqa: E501 - embedded text

_OMIT = "INSERT INTO fates"
_SELECTED = (
    "(SELECT * FROM records LEFT JOIN fates USING (seq)) WHERE (fate IS NULL OR fate LIKE 'keep%')"
)
_REPLACED = "ON CONFLICT (seq) DO UPDATE SET fate = excluded.fate, payload = excluded.payload"

_FILES = ("lines", "index")

KEEP, DROP, CONFLICT, ALIAS, OMIT = "keep", "drop", "conflict", "alias", "omit"


class Entry(NamedTuple):
    """What decides about a spooled trace, besides its line.

    Traces with one ``id`` are copies. They must agree in ``verdict``, or all of them are rejected;
    otherwise the one of the lowest ``rank``, then the earliest, is kept. ``alias`` is another name
    that should be unique but need not be. ``facts`` are (group, name) pairs that are counted over
    the traces kept. ``class_id`` is the trace's mixture class, and ``omitted`` says why the trace
    is not selected, if it is not; of copies, one that is selected goes before all others.
    """

    id: str
    verdict: str
    rank: int
    alias: str | None
    facts: tuple[tuple[str, str], ...]
    class_id: str = ""
    omitted: str | None = None


@dataclass(slots=True)
class _Copies:
    """Traces of one id, the best first: a million of them take 24 MB."""

    seqs: array[int] = field(default_factory=lambda: array("q"))
    starts: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    verdicts: set[str] = field(default_factory=set)


@contextlib.contextmanager
def collecting(
    dataset: str,
    reasons: Reasons,
    outputs: StageFiles,
    options: LoadOptions,
    max_reject_fraction: float,
) -> Iterator[tuple[StageWriter, Spool]]:
    """Open what a source writes its traces with: the stage's writer, and the spool before it.

    Args:
        dataset: The data set that the source makes.
        reasons: Every reason that its records may be rejected for.
        outputs: Where traces, rejects and stats go.
        options: What takes part.
        max_reject_fraction: The largest part of the records, 0 to 1, that may be rejected.
    """
    with (
        StageWriter(
            "etl_a", dataset, outputs, reasons, max_reject_fraction=max_reject_fraction
        ) as writer,
        Spool(outputs.out, options.class_caps) as spool,
    ):
        yield writer, spool


class Spool:
    """Collect traces with ``add``, then hand each to a StageWriter with ``settle``. A context
    manager; its files go when it ends.

    They lie beside ``output``, the file that the traces go to, under its name: what a killed job
    left of them is removed by the next one that writes this output. Order of output is order of
    ``add``. Of the classes in ``class_caps`` no more traces are kept than it says, a sample by a
    hash of their ids. Raises FileError where the system refuses to write.
    """

    def __init__(self, output: str | Path, class_caps: Mapping[str, int] | None = None) -> None:
        output = Path(output)
        self._caps = dict(class_caps or {})
        lines, index = (part_path(output.with_name(f"{output.name}.{n}")) for n in _FILES)
        self._paths = (lines, index)
        with contextlib.ExitStack() as undo:
            undo.callback(self._remove)
            with naming(lines):
                self._lines = open(lines, "w+b", buffering=BUFFER_BYTES)  # noqa: SIM115 - closed by __exit__
            undo.callback(self._lines.close)
            sort_in_tmpdir()
            with naming_sqlite(index):
                self._db = sqlite3.connect(index, isolation_level=None)
                undo.callback(self._db.close)
                self._db.create_function("sample_rank", 1, sample_rank, deterministic=True)
                self._db.executescript(
                    "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-256;"
                    " PRAGMA temp.cache_size=-256;" + _SCHEMA
                )
                self._db.execute("BEGIN")
            self._close = undo.pop_all()
        self._batch: list[tuple[int, int, str, str, int, str | None, int, str, str | None]] = []
        self._fact_sets: dict[tuple[tuple[str, str], ...], int] = {}
        self._end = 0
        self.conflicts = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        # What cannot be flushed any more (a full disk) was about to be removed anyway.
        with contextlib.suppress(OSError, sqlite3.Error):
            self._close.close()

    def _remove(self) -> None:
        for path in self._paths:
            remove_part(path)

    def add(self, line: bytes, entry: Entry) -> None:
        """Take one trace, as a line with its newline."""
        try:
            self._lines.write(line)
        except OSError as error:
            raise FileError(self._paths[0], error) from error
        facts = self._fact_sets.setdefault(entry.facts, len(self._fact_sets))
        self._batch.append(
            (
                self._end,
                len(line),
                entry.id,
                entry.verdict,
                entry.rank,
                entry.alias,
                facts,
                entry.class_id,
                entry.omitted,
            )
        )
        self._end += len(line)
        if len(self._batch) >= _BATCH:
            self._flush()

    def settle(
        self, writer: StageWriter, alias_flag: str | None = None
    ) -> dict[str, dict[str, int]]:
        """Emit, drop or reject every trace; returns the facts counted over those that were emitted.

        Traces that share an alias without being copies get ``alias_flag`` among their
        ``record_flags``. Copies whose verdicts differ are rejected as ``conflicting_labels``. What
        is not selected is counted by reason, under ``not_selected``. Raises SourceError for an
        input without a single record: one of empty files, headers and blank lines.
        """
        if writer.records_in == writer.rejected["empty_file"]:
            raise SourceError(
                f"{writer.name}: the input holds no record. Hint: look whether its files were"
                " written or downloaded whole; null in the config leaves the source out"
            )
        self._flush()
        with naming(self._paths[0]), naming_sorts(self._paths[1]):
            self._lines.flush()
            self._decide(alias_flag is not None)
        flagged = 0
        omitted: Counter[str] = Counter()
        done_seq, done_byte = 0, 0
        rows = self._db.execute(
            "SELECT seq, start, length, fate, payload FROM fates JOIN records USING (seq) ORDER"
            " BY seq"
        )
        for seq, start, length, fate, payload in rows:
            self._copy(writer, done_byte, start, seq - 1 - done_seq)
            done_seq, done_byte = seq, start + length
            if fate == DROP:
                writer.duplicate()
                continue
            if fate == OMIT:
                writer.not_selected()
                omitted[payload] += 1
                continue
            line = self._read(start, length)
            if fate == CONFLICT:
                twin = _twin(line)
                writer.reject(
                    Reject("conflicting_labels", payload),
                    file=twin["file"],
                    line=twin["line"],
                    record_id=twin["raw_id"],
                    raw=line,
                )
                continue
            flagged += ALIAS in fate
            writer.emit_bytes(_amend(line, payload, alias_flag if ALIAS in fate else None))
        last = self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM records").fetchone()[0]
        self._copy(writer, done_byte, self._end, last - done_seq)
        with naming_sorts(self._paths[1]):
            counts = self._facts()
        if flagged and alias_flag:
            counts.setdefault("record_flags", Counter())[alias_flag] += flagged
        if omitted:
            counts["not_selected"] = omitted
        return {group: dict(sorted(counter.items())) for group, counter in sorted(counts.items())}

    def _flush(self) -> None:
        with naming_sqlite(self._paths[1]):
            self._db.executemany(
                "INSERT INTO records (start, length, id, verdict, rank, alias, facts, class,"
                " omitted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                self._batch,
            )
        self._batch.clear()

    def _read(self, start: int, length: int) -> bytes:
        self._lines.seek(start)
        return self._lines.read(length)

    def _copy(self, writer: StageWriter, start: int, end: int, count: int) -> None:
        """Emit the ``count`` lines in bytes [start, end) as they are."""
        self._lines.seek(start)
        while start < end:
            piece = self._lines.read(min(_COPY_BYTES, end - start))
            start += len(piece)
            writer.emit_bytes(piece, count if start == end else 0)

    def _facts(self) -> dict[str, Counter[str]]:
        """The facts of the traces that are emitted, by group."""
        counts: dict[str, Counter[str]] = {}
        rows = self._db.execute(
            "SELECT facts, COUNT(*) FROM records LEFT JOIN fates USING (seq) WHERE fate IS NULL OR"
            " fate NOT IN (?, ?, ?) GROUP BY facts",
            (DROP, CONFLICT, OMIT),
        )
        fact_sets = list(self._fact_sets)
        for index, number in rows:
            for group, name in fact_sets[index]:
                counts.setdefault(group, Counter())[name] += number
        return counts

    def _decide(self, aliases: bool) -> None:
        """Write a fate for each trace that is not simply kept."""
        self._db.execute(
            "CREATE TABLE copied AS SELECT id FROM records GROUP BY id HAVING COUNT(*) > 1"
        )
        for copies in self._copies():
            fates: Iterator[tuple[int, str, str | None]]
            if len(copies.verdicts) > 1:
                self.conflicts += 1
                detail = (
                    f"{len(copies.seqs)} records with the same messages carry different labels:"
                    f" {', '.join(sorted(copies.verdicts))}"
                )
                fates = ((seq, CONFLICT, detail) for seq in copies.seqs)
            else:
                twins = bytearray()
                for place in zip(copies.starts[1:], copies.lengths[1:], strict=True):
                    twins += b"," + orjson.dumps(_twin(self._read(*place)))
                kept = (copies.seqs[0], KEEP, f"[{twins[1:].decode()}]")
                fates = chain([kept], ((seq, DROP, None) for seq in copies.seqs[1:]))
            self._db.executemany("INSERT INTO fates VALUES (?, ?, ?)", fates)
        if aliases:
            self._db.execute(
                "INSERT INTO fates SELECT seq, ?, NULL FROM records WHERE alias IN (SELECT alias"
                " FROM records WHERE alias IS NOT NULL GROUP BY alias HAVING COUNT(DISTINCT id) >"
                " 1) ON CONFLICT (seq) DO UPDATE SET fate = fate || '+' || excluded.fate WHERE"
                " fate = ?",
                (ALIAS, KEEP),
            )
        self._db.execute(
            f"{_OMIT} SELECT seq, ?, omitted FROM {_SELECTED} AND omitted IS NOT NULL {_REPLACED}",
            (OMIT,),
        )
        for class_id, most in self._caps.items():
            self._db.execute(
                f"{_OMIT} SELECT seq, ?, ? FROM {_SELECTED} AND class = ? ORDER BY sample_rank(id)"
                f" LIMIT -1 OFFSET ? {_REPLACED}",
                (OMIT, CLASS_CAP, class_id, most),
            )

    def _copies(self) -> Iterator[_Copies]:
        """The traces of one id, of each id that several have."""
        rows = self._db.cursor().execute(
            "SELECT id, seq, verdict, start, length FROM records JOIN copied USING (id) ORDER BY"
            " id, omitted IS NOT NULL, rank, seq"
        )
        for _, group in groupby(rows, key=itemgetter(0)):
            copies = _Copies()
            for _, seq, verdict, start, length in group:
                copies.seqs.append(seq)
                copies.verdicts.add(verdict)
                copies.starts.append(start)
                copies.lengths.append(length)
            yield copies


def _twin(line: bytes) -> dict[str, Any]:
    """The row of ``links.duplicates`` that stands for a trace."""
    trace = orjson.loads(line)
    source = trace["source"]
    value = source["record_locator"]["value"]
    return {
        "file": source["file"],
        "line": value if isinstance(value, int) else 1,
        "model_id": source["model_id"],
        "defense": source["defense"],
        "raw_id": trace["links"]["raw_id"],
    }


def _amend(line: bytes, twins: str | None, flag: str | None) -> bytes:
    trace = orjson.loads(line)
    if twins:
        trace["links"]["duplicates"] = orjson.Fragment(twins)
    if flag:
        trace["signal_hints"].setdefault("record_flags", []).append(flag)
    return dumps(trace)
