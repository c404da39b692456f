"""Renders that several jobs made of parts of one trace file, as one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cbdata.merge_parts import append_parts
from cbdata.records.words import RowKind
from cbdata.render.figures import Figures
from cbdata.render.reasons import REASONS
from cbdata.render.stage import tell_of_no_traces
from cbdata.stage import StageFiles, StageWriter


def merge_renders(
    traces: str | Path,
    parts: Sequence[StageFiles],
    files: StageFiles,
    *,
    name: str,
    rows: RowKind,
    reject_limit: float,
    may_be_empty: bool,
) -> None:
    """Write the renders, rejects and stats that one job would have written, byte for byte.

    Args:
        traces: The trace file.
        parts: What ``render_traces`` made of each of its parts, in their order.
        files: The files to make.
        name: The data set's name.
        rows: What a row is.
        reject_limit: The largest part of the rows, 0 to 1, that may be rejected.
        may_be_empty: Whether a trace file without a trace is no error.

    Raises:
        TooManyRejects: More was rejected; nothing is published.
        NothingRead: The trace file holds no trace, and should.
        ConservationError: A part is not what its stats say; nothing is published.
    """
    figures, told = Figures(), dict[str, Any]()
    with StageWriter("render", name, files, REASONS, max_reject_fraction=reject_limit) as writer:
        for details in append_parts(writer, parts):
            figures.add(details["figures"])
            told = details["rendered_with"]
        tell_of_no_traces(traces, figures, may_be_empty)
        writer.details.update(figures.details(told, rows))
