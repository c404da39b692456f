"""ETL_A: raw records of the sources, in whatever state they are, to trace_v1.

A record that cannot become a trace raises ``Reject``, which the converter turns into a reject
row; input that no run can use at all (a missing file, a git-lfs pointer) raises ``SourceError`` and
ends the run.
"""

from __future__ import annotations

INGEST_VERSION = "etl_a_v1"
"""Written to ``source.ingest_version``; raised whenever the meaning of a trace that ETL_A writes
changes.
"""


class SourceError(RuntimeError):
    """The input as a whole cannot be used: names the path, what was expected and a hint."""


def shown(value: object, limit: int = 80) -> str:
    """A value of a raw record for a message: type and a short, escaped form, so that hostile text
    stays on one line.
    """
    text = ascii(value)
    return f"{type(value).__name__} {text if len(text) <= limit else text[:limit] + '...'}"
