"""A record that cannot go on, and why: one error class, and tables that say what each reason means.

Every stage declares its reasons as a table ``{code: meaning}`` in its own room (``reasons.py``). A
``StageWriter`` takes no reason that is not in its stage's table, and docs/reasons.md lists all of
them.
"""

from __future__ import annotations

from collections.abc import Mapping

Reasons = Mapping[str, str]
"""Reason code -> what it means, in one sentence for a person."""

Hints = Mapping[str, str]
"""Reason code -> what to do about it, where there is more to do than to look at the record."""


class Reject(ValueError):
    """One record cannot go on. The stage turns it into a row of its reject file and goes on itself.

    ``reason`` is a code of the stage's table of reasons; ``detail`` says what was expected and what
    was found in this record.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail
