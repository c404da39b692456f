"""What stages leave beside their data: reject_v1, stats_v1, and the rows of a fill shard."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from cbdata.records.trace import Trace
from cbdata.records.words import Mode, Stage


class RejectRow(TypedDict):
    """reject_v1: one record that did not pass a stage, and why."""

    stage: Stage
    file: str
    line: int | None
    record_id: str | None
    reason: str
    detail: str
    raw: NotRequired[Any]


class StatsCounts(TypedDict):
    """The figures of the conservation law; headers are not records."""

    records_in: int
    records_out: int
    rejected: int
    duplicates: int
    not_selected: int
    headers: int


class Stats(TypedDict):
    """stats_v1: what one stage did with one file."""

    stage: Stage
    name: str
    counts: StatsCounts
    rejected_by_reason: dict[str, int]
    details: dict[str, Any]


class FillDuplicate(TypedDict):
    """A skeleton that is a copy of an earlier one. Like every row of a skeleton it says of which
    one it was made, by id and by SHA-256; rows of earlier versions may not.
    """

    row: Literal["duplicate"]
    line: int
    mode: Mode
    record_id: NotRequired[str]
    record_sha256: NotRequired[str]


class FillReject(TypedDict):
    """A skeleton without a trace in a mode; the figures are there if the model was asked."""

    row: Literal["reject"]
    line: int
    mode: Mode
    record_id: str
    record_sha256: NotRequired[str]
    reason: str
    detail: str
    raw: NotRequired[dict[str, Any]]
    outcomes: NotRequired[list[str]]
    arguments_valid: NotRequired[bool | None]
    prompt_tokens: NotRequired[int]
    completion_tokens: NotRequired[int]


class FillTrace(TypedDict):
    """A skeleton's accepted completion as a trace_v1."""

    row: Literal["trace"]
    line: int
    mode: Mode
    record_id: NotRequired[str]
    record_sha256: NotRequired[str]
    trace: Trace
    outcomes: list[str]
    arguments_valid: bool | None
    prompt_tokens: int
    completion_tokens: int


class FillRun(TypedDict):
    """The last line of a shard file: the work of the run that made it. ``cached_prompt_tokens`` is
    None where the engine has no prefix cache.
    """

    row: Literal["run"]
    shard: int
    shards: int
    generated: int
    reused: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    load_seconds: float
    cached_prompt_tokens: NotRequired[int | None]


FillOutcome = FillDuplicate | FillReject | FillTrace
"""What a shard file says of one skeleton in one mode."""

FillRow = FillOutcome | FillRun
"""One line of a shard file: fill_row_v1."""
