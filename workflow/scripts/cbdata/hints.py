"""What to do about rejects: the stages' tables of hints behind one door."""

from __future__ import annotations

from collections.abc import Mapping

from cbdata.rejects import Hints

OTHERWISE = "see the reject rows: file, line and detail"
"""The hint where a reason is one of single records."""


def hints_of(stage: str) -> Hints:
    """The table of a stage; empty for another word.

    Args:
        stage: ``etl_a``, ``cut``, ``fill``, ``render`` or ``lossmask``.
    """
    # Here, because a stage's modules may be on the way to being imported themselves.
    from cbdata.decision_points.reasons import HINTS as CUT
    from cbdata.fill.reasons import HINTS as FILL
    from cbdata.lossmask.reasons import HINTS as LOSSMASK
    from cbdata.render.reasons import HINTS as RENDER
    from cbdata.sources.reasons import HINTS as SOURCES

    tables: Mapping[str, Hints] = {
        "etl_a": SOURCES,
        "cut": CUT,
        "fill": FILL,
        "render": RENDER,
        "lossmask": LOSSMASK,
    }
    return tables.get(stage, {})


def hint(stage: str, reason: str) -> str:
    """What to do where a stage rejects many records for a reason, as one clause."""
    return hints_of(stage).get(reason, OTHERWISE)
