"""Loss masks that several jobs made of parts of one render file, as one file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbdata.lossmask.reasons import REASONS
from cbdata.lossmask.stage import warn_of_unsuited
from cbdata.lossmask.tally import Tally
from cbdata.merge_parts import append_parts
from cbdata.stage import StageFiles, StageWriter


def merge_lossmasks(
    parts: Sequence[StageFiles], files: StageFiles, *, name: str, reject_limit: float
) -> None:
    """Write the loss masks, rejects and stats that one job would have written, byte for byte.

    Args:
        parts: What ``apply_lossmask`` made of each part of the render file, in their order.
        files: The files to make.
        name: The data set's name.
        reject_limit: The largest part of the renders, 0 to 1, that may be rejected.

    Raises:
        TooManyRejects: More was rejected; nothing is published.
        ConservationError: A part is not what its stats say; nothing is published.
    """
    tally, settings = Tally(), dict[str, Any]()
    with StageWriter("lossmask", name, files, REASONS, max_reject_fraction=reject_limit) as writer:
        for details in append_parts(writer, parts):
            tally.merge(details["tally"])
            settings = details["settings"]
        writer.details = {**tally.details(), **settings}
        warn_of_unsuited(name, tally)
