"""DS/DR twins side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cbdata.disk_table import DiskTable
from cbdata.export import ExportFiles
from cbdata.export.pair_table import PairTable
from cbdata.export.parquet import (
    PLAIN_COLUMNS,
    ROW_GROUP_TOKENS,
    SplitWriter,
    Table,
    row_columns,
    row_schema,
)
from cbdata.export.rows import ExportError, TrainingRow, find_render, training_row
from cbdata.json_file import write_json
from cbdata.lookup import Place, RecordFiles, RecordIndex, read_places

SIDES = {"harmful": "ds", "benign": "dr"}
Pair = tuple[str, TrainingRow, TrainingRow]


@dataclass
class PairCounts:
    """What became of every loss mask: half a pair, without its twin, of a trace that has none by
    nature, or of a turn before the completion (rows: turn). ``pooling`` says whether any has a
    second mask.
    """

    pairs: int = 0
    without_twin: Counter[str] = field(default_factory=Counter)
    no_pair_id: int = 0
    earlier_turns: int = 0
    pooling: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values; ``rows_in`` is what the others add up to."""
        rows_in = 2 * self.pairs + self.without_twin.total() + self.no_pair_id + self.earlier_turns
        return {
            "rows_in": rows_in,
            "pairs": self.pairs,
            "without_twin": dict(sorted(self.without_twin.items())),
            "no_pair_id": self.no_pair_id,
            **({"earlier_turns": self.earlier_turns} if self.earlier_turns else {}),
        }


def find_twins(
    lossmasks: Sequence[Path], counts: PairCounts, earlier: DiskTable | None = None
) -> PairTable:
    """Places of the masks of both twins by pair_id, in file order.

    Args:
        lossmasks: The masks of one policy and step.
        counts: Counts what is in no pair.
        earlier: Ids of the renders that end with a turn before the trace's last one.

    Raises:
        ExportError: A second mask of one side of a pair (e.g. of another policy).
    """
    twins = PairTable()
    for path in lossmasks:
        for place, mask in read_places(path):
            counts.pooling |= "pooling_mask" in mask
            pair_id, category = mask["pair_id"], mask["category"]
            if pair_id is None:
                counts.no_pair_id += 1
                continue
            if earlier is not None and mask["render_id"] in earlier:
                counts.earlier_turns += 1
                continue
            if not twins.add(pair_id, category, place.packed()):
                hint = "give the masks of one policy and one curriculum step"
                raise ExportError(
                    f"{place}: expected one {SIDES[category]} mask of pair {pair_id}, got a second;"
                    f" the first is at {Place.unpack(twins.get(pair_id, category))}. Hint: {hint}"
                )
    return twins


def earlier_turns(renders: Sequence[Path]) -> DiskTable:
    """The ids of renders that end before their trace's last turn; a file of whole traces is left
    after its first row.

    Args:
        renders: The renders, a file a data set.
    """
    earlier = DiskTable()
    for path in renders:
        for _, render in read_places(path):
            if render["render_options"].get("rows") != "turn":
                break
            if not render.get("last_turn", True):
                earlier.add(render["render_id"])
    return earlier


def pair_schema(*, pooling: bool = False) -> pa.Schema:
    """Columns of a pair: ``pair_id``, ``split``, what the two sides share, then the columns of a
    training row for each side, prefixed ``ds_`` and ``dr_``, with those of the second mask where
    ``pooling`` says so.
    """
    sides = [
        column
        for side in SIDES.values()
        for column in row_schema(f"{side}_", pooling=pooling)
        if column.name != f"{side}_pair_id"
    ]
    return pa.schema(
        [
            pa.field("pair_id", pa.string(), nullable=False),
            pa.field("split", pa.string(), nullable=False),
            pa.field("shared_prefix_tokens", pa.int32(), nullable=False),
            pa.field("divergence_token", pa.int32(), nullable=True),
            *sides,
        ]
    )


def shared_prefix(first: NDArray[np.int32], second: NDArray[np.int32]) -> int:
    """The number of tokens with which both sequences begin."""
    length = min(len(first), len(second))
    differing = np.flatnonzero(first[:length] != second[:length])
    return int(differing[0]) if len(differing) else length


def divergence(ds: TrainingRow, dr: TrainingRow) -> int | None:
    """The first token at which the prompts of two twins differ, or None where they are the same."""
    shared = shared_prefix(ds.input_ids[: ds.prompt_length], dr.input_ids[: dr.prompt_length])
    return None if shared == ds.prompt_length == dr.prompt_length else shared


def _pair_columns(pairs: list[Pair], *, pooling: bool) -> list[pa.Array]:
    position = [column.name for column in row_schema(pooling=pooling)].index("pair_id")
    columns = [
        pa.array([pair_id for pair_id, _, _ in pairs]),
        pa.array([ds.split for _, ds, _ in pairs]),
        pa.array([shared_prefix(ds.input_ids, dr.input_ids) for _, ds, dr in pairs], pa.int32()),
        pa.array([divergence(ds, dr) for _, ds, dr in pairs], pa.int32()),
    ]
    for rows in ([ds for _, ds, _ in pairs], [dr for _, _, dr in pairs]):
        own = row_columns(rows, pooling=pooling)
        columns += own[:position] + own[position + 1 :]
    return columns


def pair_table(*, pooling: bool) -> Table[Pair]:
    """Pairs as a kind of table, with the columns of second masks where ``pooling`` says so."""
    return Table(
        pair_schema(pooling=pooling),
        partial(_pair_columns, pooling=pooling),
        [f"{side}_{name}" for side in SIDES.values() for name in PLAIN_COLUMNS],
    )


def read_pairs(
    twins: PairTable, masks: RecordFiles, renders: RecordIndex, counts: PairCounts
) -> Iterator[Pair]:
    """The pairs that have both sides, joined with their renders.

    Args:
        twins: Places of the masks by pair_id.
        masks: Reads the masks.
        renders: Their renders.
        counts: Counts pairs, and masks without a twin.

    Raises:
        ExportError: The files do not fit together, or twins stand in two splits.
    """

    def row(place: Place) -> TrainingRow:
        mask = masks.read(place)
        return training_row(mask, find_render(mask, renders, place), place)

    for pair_id, pair in twins.pairs():
        if len(pair) < len(SIDES):
            counts.without_twin[SIDES[next(iter(pair))]] += 1
            continue
        first = Place.unpack(pair["harmful"])
        ds, dr = row(first), row(Place.unpack(pair["benign"]))
        if ds.split != dr.split:
            hint = "split the skeletons, not their completions"
            raise ExportError(
                f"{first}: expected twins in one split, got {ds.split!r} and {dr.split!r}. Hint:"
                f" {hint}"
            )
        counts.pairs += 1
        yield pair_id, ds, dr


def write(
    files: ExportFiles, outputs: Mapping[str, Path], _options: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the outputs ``pairs`` and ``counts``; return the counts."""
    counts = export_pairs(files.lossmasks, files.renders, outputs["pairs"])
    write_json(outputs["counts"], counts)
    return counts


def export_pairs(
    lossmasks: Sequence[Path],
    renders: Sequence[Path],
    out: Path,
    row_group_tokens: int = ROW_GROUP_TOKENS,
) -> dict[str, Any]:
    """Write the twins as Parquet, one file a split and one row a pair, and return the counts.

    Args:
        lossmasks: The masks of one policy and step, a file a data set.
        renders: The renders that they belong to.
        out: The folder.
        row_group_tokens: About how many tokens a row group holds.

    Raises:
        ExportError: The files do not fit together, or twins stand in two splits.
    """
    counts = PairCounts()
    twins = find_twins(lossmasks, counts, earlier_turns(renders))
    table = pair_table(pooling=counts.pooling)
    with (
        RecordFiles() as masks,
        RecordIndex(renders, "render_id") as index,
        SplitWriter([out], table, row_group_tokens) as writer,
    ):
        for pair in read_pairs(twins, masks, index, counts):
            _, ds, dr = pair
            writer.add(out, ds.split, pair, len(ds.input_ids) + len(dr.input_ids))
    return counts.as_dict()
