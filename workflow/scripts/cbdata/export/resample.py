"""Weights made real by repetition and dropping, for trainers that ignore them.

The Trainer of transformers and TRL's SFTTrainer read neither ``sample_weight`` nor fractions in
``loss_mask``: every row and every token with a label counts as 1. Here a row of weight 2.3 comes
twice, and a third time in 3 of 10 cases; a token of weight 0.3 keeps its label in 3 of 10 cases.
What is drawn depends on the row alone, so an export made again is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbdata.export.rows import TrainingRow


@dataclass
class ResampleCounts:
    """What resampling did: rows that came in, that were dropped because of their weight, that were
    dropped because no token kept its label, and copies behind a row's first.
    """

    rows_in: int = 0
    dropped: int = 0
    without_loss: int = 0
    repeated: int = 0


def _draws(row: TrainingRow, what: str, count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), the same for the same row on every machine.

    The raw output of PCG64 is used because numpy promises that it never changes.
    """
    key = f"{row.trace_id}\n{row.prompt_length}\n{len(row.input_ids)}\n{what}"
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16])
    raw: NDArray[np.uint64] = np.random.PCG64(seed).random_raw(count)
    # 53 bits are what a float64 holds, so no number rounds up to 1.
    return (raw >> np.uint64(11)).astype(np.float64) / 2.0**53


def resample(row: TrainingRow, counts: ResampleCounts) -> Iterator[TrainingRow]:
    """Yield a row as often as its weight says, with ``sample_weight`` 1 and a mask of zeros and
    ones.

    Args:
        row: A row with weights of any size.
        counts: Counts what happens to it.
    """
    counts.rows_in += 1
    whole = int(row.sample_weight)
    copies = whole + int(_draws(row, "copies", 1)[0] < row.sample_weight - whole)
    if not copies:
        counts.dropped += 1
    for copy in range(copies):
        kept = _draws(row, f"tokens of copy {copy}", len(row.loss_mask)) < row.loss_mask
        if not kept.any():
            counts.without_loss += 1
            continue
        counts.repeated += copy > 0
        yield replace(
            row,
            sample_weight=1.0,
            loss_mask=kept.astype(np.float32),
            labels=np.where(kept, row.input_ids, np.int32(-100)),
        )
