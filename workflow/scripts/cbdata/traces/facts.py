"""The facts of a trace that masks and class counts depend on, read without the trace's messages
wherever these hold none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from cbdata.jsonl import JsonlError

NO_LOSSES: Mapping[int, float] = MappingProxyType({})


class UnmatchedRender(ValueError):
    """A render has no trace where the order of both files puts it."""


class TraceFacts(NamedTuple):
    """The fields of a trace that masks, weights and rows depend on. ``line`` counts from 1.

    ``losses`` has the ``loss`` of each message that has one other than 1, by message index.
    """

    id: str
    line: int
    skeleton: bool
    category: str
    class_id: str
    split: str
    pair_id: str | None
    sample_weight: float
    policy: str | None
    params: Mapping[str, Any] | None
    losses: Mapping[int, float] = NO_LOSSES


def message_losses(messages: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """The ``loss`` of each message that has one other than 1, by message index. Raises ValueError
    for one that is not a number in [0, 1].
    """
    losses: dict[int, float] = {}
    for index, message in enumerate(messages):
        if "loss" not in message:
            continue
        loss = message["loss"]
        if isinstance(loss, bool) or not isinstance(loss, int | float) or not 0 <= loss <= 1:
            raise ValueError(f"messages/{index}/loss: expected a number in [0, 1], got {loss!r}")
        if loss != 1:
            losses[index] = float(loss)
    return losses


def trace_facts(trace: Mapping[str, Any], line: int) -> TraceFacts:
    """The facts of one trace_v1 record; ``pair_id`` is the skeleton that the trace was completed
    from.
    """
    training = trace["training"]
    parents = trace["links"].get("parent_trace_ids")
    return TraceFacts(
        id=trace["id"],
        line=line,
        skeleton=trace["completeness"] == "skeleton",
        category=trace["labels"]["category"],
        class_id=training["mixture"]["class_id"],
        split=trace["split"],
        pair_id=parents[0] if parents else None,
        sample_weight=float(training["sample_weight"]),
        policy=training.get("loss_mask_policy"),
        params=training.get("loss_mask_params"),
        losses=message_losses(trace["messages"]) if trace["messages"] else NO_LOSSES,
    )


def without_messages(line: bytes) -> bytes:
    """A trace's line with an empty message list, or the line itself where the cut cannot be made
    safely.

    Messages are nearly all of a trace, and ``loss`` is the only fact in them. Most traces do not
    have it; a line in whose messages that key stands is read whole. The searched bytes hold
    unescaped quotes, so they cannot lie inside a JSON string; the first ``"messages":[`` is the
    trace's own because no field before it nests another. The last ``],"labels":{`` may belong to a
    nested object (``source_fields``); cutting there leaves brackets unbalanced, so the result does
    not parse and the caller falls back on the whole line.
    """
    if not line.startswith(b'{"id":"'):
        return line
    start, end = line.find(b'"messages":['), line.rfind(b'],"labels":{')
    # From the end, which takes half as long for a key that is not there.
    if not 0 < start < end or line.rfind(b'"loss"', start, end) >= 0:
        return line
    return line[: start + 12] + line[end:]


def parse_facts(line: bytes, number: int) -> TraceFacts:
    """The facts in line ``number`` of a trace file, at first without its messages. Raises as orjson
    and ``trace_facts`` do.
    """
    short = without_messages(line)
    if len(short) < len(line):
        with suppress(
            orjson.JSONDecodeError, KeyError, TypeError
        ):  # a cut that does not fit: the whole line decides
            return trace_facts(orjson.loads(short), number)
    return trace_facts(orjson.loads(line), number)


class TraceReader:
    """Facts of a trace file, found by id in file order with one trace in memory at a time."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._last: TraceFacts | None = None
        self._facts = self._read()

    def find(self, trace_id: str, asked_by: str) -> TraceFacts:
        """The facts of the trace called ``trace_id``: the one found last, of which there may be
        several renders (rows: turn), or one behind it. Traces between (which were not rendered) are
        skipped.

        Raises UnmatchedRender if no trace from here on has the id.
        """
        if self._last is not None and self._last.id == trace_id:
            return self._last
        for facts in self._facts:
            if facts.id == trace_id:
                self._last = facts
                return facts
        raise UnmatchedRender(
            f"{asked_by}: expected trace {trace_id} in {self.path}, in the order of the renders,"
            " but it is not there or stands earlier. Hint: the trace file changed after the"
            " renders were made; remove the render file and run its rule again"
        )

    def __iter__(self) -> Iterator[TraceFacts]:
        return self._facts

    def _read(self) -> Iterator[TraceFacts]:
        with open(self.path, "rb") as handle:
            for number, line in enumerate(handle, start=1):
                try:
                    yield parse_facts(line, number)
                except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                    problem = f"{type(error).__name__}: {error}"
                    raise JsonlError(
                        self.path,
                        number,
                        "a trace_v1 record",
                        problem,
                        "validate the file against trace_v1",
                    ) from error
