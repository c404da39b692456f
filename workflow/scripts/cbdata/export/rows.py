"""Loss masks joined with their renders: the rows that every export is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbdata.lookup import Place, RecordIndex, read_places
from cbdata.traces.turns import completion_start

SPLIT_NAME = re.compile(r"\w+(\.\w+)*", re.ASCII)


class ExportError(ValueError):
    """Files that do not fit together: names file, line, record, what was expected and a hint."""


def check_split(split: str) -> str:
    """The name of a split, which becomes that of a file. Raises ExportError for a name that Hugging
    Face datasets would refuse, or that leads out of the folder.
    """
    if not SPLIT_NAME.fullmatch(split):
        hint = "rename the split in the config or in the traces"
        raise ExportError(
            f"split {split!r}: expected letters, digits, underscores and single dots. Hint: {hint}"
        )
    return split


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One training example. The arrays have one entry a token; ``labels`` are not shifted (-100 =
    no loss).

    ``loss_mask[i]`` weights the prediction of token i. ``pooling_mask`` and ``pooling_policy_id``
    are None where no pooling policy was set. ``last_turn`` is false for a row that ends with a turn
    before the trace's last one (rows: turn).
    """

    input_ids: NDArray[np.int32]
    attention_mask: NDArray[np.int8]
    labels: NDArray[np.int32]
    loss_mask: NDArray[np.float32]
    sample_weight: float
    category: str
    class_id: str
    policy_id: str
    trace_id: str
    pair_id: str | None
    prompt_length: int
    split: str
    last_turn: bool = True
    pooling_mask: NDArray[np.float32] | None = None
    pooling_policy_id: str | None = None

    @property
    def assistant_masks(self) -> NDArray[np.int8]:
        """1 for every token with loss, else 0: the column that TRL's trainers read."""
        return (self.loss_mask > 0).astype(np.int8)


def prompt_length(render: dict[str, Any]) -> int:
    """Tokens before what the model generates in the trace's last assistant turn; the whole sequence
    where a cut took that turn away, or there never was one.
    """
    start = completion_start(render)
    return len(render["input_ids"]) if start is None else start


def training_row(mask: dict[str, Any], render: dict[str, Any], place: Place) -> TrainingRow:
    """Join one loss mask with its render.

    Args:
        mask: The loss mask, a lossmask_v1.
        render: The render that it was made from, a render_v1.
        place: Where the mask stands, for messages.

    Raises:
        ExportError: They do not belong together.
    """
    where = f"{place}: {mask['lossmask_id']}"
    if mask["trace_id"] != render["trace_id"]:
        hint = "run the validate target on these files"
        raise ExportError(
            f"{where}: expected trace_id {render['trace_id']} as in its render, got"
            f" {mask['trace_id']}. Hint: {hint}"
        )
    lengths = {
        "input_ids": len(render["input_ids"]),
        "attention_mask": len(render["attention_mask"]),
    }
    pooling = mask.get("pooling_mask")
    lengths |= {"labels": len(mask["labels"]), "loss_mask": len(mask["loss_mask"])}
    if pooling is not None:
        lengths["pooling_mask"] = len(pooling)
    if len(set(lengths.values())) != 1:
        raise ExportError(
            f"{where}: expected equal lengths, got {lengths}. Hint: the masks belong to other"
            " renders; run both rules again"
        )
    return TrainingRow(
        input_ids=np.array(render["input_ids"], np.int32),
        attention_mask=np.array(render["attention_mask"], np.int8),
        labels=np.array(mask["labels"], np.int32),
        loss_mask=np.array(mask["loss_mask"], np.float32),
        sample_weight=float(mask["sample_weight"]),
        category=mask["category"],
        class_id=mask["class_id"],
        policy_id=mask["policy_id"],
        trace_id=mask["trace_id"],
        pair_id=mask["pair_id"],
        prompt_length=prompt_length(render),
        split=mask["split"],
        last_turn=render.get("last_turn", True),
        pooling_mask=None if pooling is None else np.array(pooling, np.float32),
        pooling_policy_id=mask.get("pooling_policy_id"),
    )


def find_render(mask: dict[str, Any], renders: RecordIndex, place: Place) -> dict[str, Any]:
    """Return the render of a loss mask.

    Args:
        mask: The loss mask, a lossmask_v1.
        renders: The renders by render_id.
        place: Where the mask stands, for messages.

    Raises:
        ExportError: There is no such render.
    """
    render = renders.get(mask["render_id"])
    if render is None:
        hint = "give the render file that these masks were made from"
        raise ExportError(
            f"{place}: {mask['lossmask_id']}: expected render {mask['render_id']}, found none."
            f" Hint: {hint}"
        )
    return render


def read_rows(
    lossmasks: Sequence[Path], renders: RecordIndex
) -> Iterator[tuple[TrainingRow, dict[str, Any]]]:
    """Yield row and render of every loss mask, in the order of the files. Raises ExportError for a
    mask without a render.
    """
    for path in lossmasks:
        for place, mask in read_places(path):
            render = find_render(mask, renders, place)
            yield training_row(mask, render, place), render
