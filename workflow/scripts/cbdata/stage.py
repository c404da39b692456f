"""What every stage does with its records: count each one, name each loss, publish data, rejects and
stats together.

Conservation law (design: data contract): records in = records out + rejects + duplicates dropped +
records not selected, per stage and file. ``StageWriter`` asserts it before anything gets its final
name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbdata.atomic_file import discard_together, open_together, publish_together
from cbdata.json_file import indented
from cbdata.jsonl import dumps
from cbdata.rejects import Reasons, Reject

if TYPE_CHECKING:
    from cbdata.records import RejectRow, Stage, Stats, StatsCounts

RAW_EXCERPT_BYTES = 4096
DETAIL = 300
"""Characters of a detail in the message of ``TooManyRejects``."""


class ConservationError(AssertionError):
    """A stage would publish files in which records are missing or counted twice."""


class TooManyRejects(RuntimeError):
    """More of the input was rejected than ``max_reject_fraction`` allows."""


class NothingRead(RuntimeError):
    """An input of the user's holds no record at all."""


class UndeclaredReason(AssertionError):
    """A stage rejected a record for a reason that its table does not have."""


@dataclass(frozen=True)
class StageFiles:
    """The three files that a stage writes for one data set: its data, its rejects, its stats."""

    out: Path
    rejects: Path
    stats: Path

    @classmethod
    def of(cls, out: str | Path, rejects: str | Path, stats: str | Path) -> StageFiles:
        """Make it from strings, as Snakemake has them.

        Args:
            out: The data.
            rejects: The reject rows.
            stats: The counts.
        """
        return cls(Path(out), Path(rejects), Path(stats))


def hint(stage: str, reason: str) -> str:
    """What to do where a stage rejects many records for a reason; see ``cbdata.hints``.

    That module is imported by a name that is put together here: it knows every stage's reasons,
    and what it says is no part of any data. With an import statement, a change of one stage would
    be a change of all (``cbdata.code_digest``).
    """
    return str(import_module(".hints", __package__).hint(stage, reason))


class StageWriter:
    """The data file, reject file and stats file of one stage and data set, published together or
    not at all.

    Use as a context manager. Every record read is announced once by ``take`` and then leaves by
    exactly one of ``emit``, ``reject``, ``duplicate`` or ``not_selected``. On a clean exit the law
    is checked and the three files get their names; on an exception the temporary files are removed
    and whatever stood under the names before is untouched. Of a stage that rejected too much the
    reject file stays under another name (``refused_path``) until a later run succeeds.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        files: StageFiles,
        reasons: Reasons,
        *,
        max_reject_fraction: float = 1.0,
    ) -> None:
        """Open the three files under temporary names.

        Args:
            stage: The stage whose records these are.
            name: The data set.
            files: Where the three files go.
            reasons: Every reason that the stage may reject a record for.
            max_reject_fraction: The largest part of the selected records, 0 to 1, that may be
                rejected before the stage fails as a whole.
        """
        self.stage, self.name, self.max_reject_fraction = stage, name, max_reject_fraction
        self.files, self.reasons = files, reasons
        self.records_in = self.records_out = self.duplicates = self.unselected = self.headers = 0
        self.rejected: Counter[str] = Counter()
        self._first: dict[str, RejectRow] = {}
        self.details: dict[str, Any] = {}
        self._files = open_together((files.out, files.rejects, files.stats))
        self._out, self._rejects, self._stats = self._files

    def take(self, count: int = 1) -> None:
        """Announce records that were read."""
        self.records_in += count

    def header(self) -> None:
        """Count a line that is a header and no record."""
        self.headers += 1

    def emit(self, record: dict[str, Any]) -> None:
        """Write one record of the data set."""
        self.emit_bytes(dumps(record))

    def emit_bytes(self, lines: bytes, count: int = 1) -> None:
        """Write ``count`` records that are already lines with their newlines. A part of a line may
        come first with a count of 0.
        """
        self._out.write(lines)
        self.records_out += count

    def duplicate(self) -> None:
        """Count a record dropped as an exact copy of one that is kept."""
        self.duplicates += 1

    def not_selected(self, count: int = 1) -> None:
        """Count records left out by the configuration (``limit``)."""
        self.unselected += count

    def reject(
        self,
        why: Reject,
        *,
        file: str,
        line: int | None,
        record_id: str | None = None,
        raw: Any = None,
    ) -> None:
        """Write one reject row.

        Args:
            why: The reason, one of the stage's table, and its detail.
            file: Name of the file that the record stands in.
            line: Its line there, from 1; None where the whole file is meant.
            record_id: The record's id, where it has one.
            raw: The record, or the first bytes of a line that could not be read (kept as escaped
                text).

        Raises:
            UndeclaredReason: The stage's table does not have the reason.
        """
        row: RejectRow = {
            "stage": self.stage,
            "file": file,
            "line": line,
            "record_id": record_id,
            "reason": why.reason,
            "detail": why.detail,
        }
        if isinstance(raw, (bytes, bytearray, memoryview)):
            row["raw"] = bytes(raw[:RAW_EXCERPT_BYTES]).decode("utf-8", "backslashreplace")
        elif raw is not None:
            row["raw"] = raw
        self.reject_row(row)

    def reject_row(self, row: RejectRow) -> None:
        """Write a reject row as it is.

        Raises:
            UndeclaredReason: The stage's table does not have its reason.
        """
        reason = row["reason"]
        if reason not in self.reasons:
            raise UndeclaredReason(
                f"{self.stage}/{self.name}: reason {reason!r} is not in the stage's table."
                " Hint: this is a fault of the workflow, please report it"
            )
        self._rejects.write(dumps(row))
        self._first.setdefault(reason, row)
        self.rejected[reason] += 1

    def counts(self) -> StatsCounts:
        """The figures of the conservation law."""
        return {
            "records_in": self.records_in,
            "records_out": self.records_out,
            "rejected": self.rejected.total(),
            "duplicates": self.duplicates,
            "not_selected": self.unselected,
            "headers": self.headers,
        }

    def check(self) -> None:
        """Raise ConservationError or TooManyRejects if the files must not be published."""
        counts = self.counts()
        accounted = (
            counts["records_out"]
            + counts["rejected"]
            + counts["duplicates"]
            + counts["not_selected"]
        )
        if counts["records_in"] != accounted:
            raise ConservationError(
                f"{self.stage}/{self.name}: {counts['records_in']} records in, {accounted}"
                f" accounted for: {counts}"
            )
        considered = counts["records_in"] - counts["not_selected"]
        if considered and counts["rejected"] > self.max_reject_fraction * considered:
            commonest = self.rejected.most_common(1)[0][0]
            raise TooManyRejects(
                f"{self.stage}/{self.name}: {counts['rejected']} of {considered} records rejected,"
                f" more than max_reject_fraction={self.max_reject_fraction}. Each reason with its"
                f" first record:\n{self._table()}\nAll of them: {refused_path(self.files.rejects)}"
                f"\nHint for {commonest}: {hint(self.stage, commonest)}. Mend the records or the"
                " path of the input, or raise max_reject_fraction if the loss is meant."
            )

    def _table(self) -> str:
        """A line for each reason, the most frequent first: its count, and its first record."""
        lines = []
        for reason, count in self.rejected.most_common():
            row = self._first[reason]
            place = row["file"] if row["line"] is None else f"{row['file']}:{row['line']}"
            lines.append(f"  {count:>8}  {reason}: {one_line(place)}: {one_line(row['detail'])}")
        return "\n".join(lines)

    def __enter__(self) -> StageWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.check()
                stats: Stats = {
                    "stage": self.stage,
                    "name": self.name,
                    "counts": self.counts(),
                    "rejected_by_reason": dict(sorted(self.rejected.items())),
                    "details": self.details,
                }
                self._stats.write(indented(stats))
                publish_together(self._files)
                refused_path(self.files.rejects).unlink(missing_ok=True)
        except TooManyRejects:
            self._rejects.publish(refused_path(self.files.rejects))
            raise
        finally:
            discard_together(self._files)


def refused_path(rejects: Path) -> Path:
    """Where the reject file of a stage stays that rejected too much, ``NAME.refused.jsonl``: not
    under the name of the rule's output, which Snakemake removes after a failed job.
    """
    return rejects.with_name(f"{rejects.stem}.refused{rejects.suffix}")


def one_line(text: str) -> str:
    """A text of a raw record for a message: on one line, what cannot be printed escaped, its end
    left out where it is long.
    """
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:DETAIL])
    return shown if len(text) <= DETAIL else f"{shown}..."
