"""DS/DR twins side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from cbdata.export import ExportFiles
from cbdata.export.parquet import (
    PLAIN_COLUMNS,
    ROW_GROUP_TOKENS,
    TokenTableWriter,
    row_columns,
    row_schema,
)
from cbdata.export.rows import ExportError, TrainingRow, find_render, training_row
from cbdata.json_file import write_json
from cbdata.lookup import Place, RecordIndex, read_places

SIDES = {"harmful": "ds", "benign": "dr"}
Pair = tuple[str, TrainingRow, TrainingRow]


@dataclass
class Twins:
    """Places of the two loss masks of one skeleton."""

    ds: Place | None = None
    dr: Place | None = None


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
    lossmasks: Sequence[Path], counts: PairCounts, earlier: Collection[str] = ()
) -> dict[str, Twins]:
    """Twins by pair_id, in file order.

    Args:
        lossmasks: The masks of one policy and step.
        counts: Counts what is in no pair.
        earlier: Ids of the renders that end with a turn before the trace's last one.

    Raises:
        ExportError: A second mask of one side of a pair (e.g. of another policy).
    """
    twins: dict[str, Twins] = {}
    for path in lossmasks:
        for place, mask in read_places(path):
            counts.pooling |= "pooling_mask" in mask
            if mask["pair_id"] is None:
                counts.no_pair_id += 1
                continue
            if mask["render_id"] in earlier:
                counts.earlier_turns += 1
                continue
            pair, side = twins.setdefault(mask["pair_id"], Twins()), SIDES[mask["category"]]
            first = getattr(pair, side)
            if first is not None:
                hint = "give the masks of one policy and one curriculum step"
                raise ExportError(
                    f"{place}: expected one {side} mask of pair {mask['pair_id']}, got a second;"
                    f" the first is at {first}. Hint: {hint}"
                )
            setattr(pair, side, place)
    return twins


def _earlier_turns(renders: Sequence[Path]) -> set[str]:
    """The ids of renders that end before their trace's last turn; a file of whole traces is left
    after its first row.
    """
    earlier = set()
    for path in renders:
        for _, render in read_places(path):
            if render["render_options"].get("rows") != "turn":
                break
            if not render.get("last_turn", True):
                earlier.add(render["render_id"])
    return earlier


def pair_schema(*, pooling: bool = False) -> pa.Schema:
    """Columns of the pairs file: ``pair_id``, then those of a training row for each side, prefixed
    ``ds_`` and ``dr_``, with those of the second mask where ``pooling`` says so.
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
            *sides,
        ]
    )


def _pair_columns(pairs: list[Pair], pooling: bool) -> list[pa.Array]:
    position = [column.name for column in row_schema(pooling=pooling)].index("pair_id")
    columns = [
        pa.array([pair_id for pair_id, _, _ in pairs]),
        pa.array([ds.split for _, ds, _ in pairs]),
    ]
    for rows in ([ds for _, ds, _ in pairs], [dr for _, _, dr in pairs]):
        own = row_columns(rows, pooling=pooling)
        columns += own[:position] + own[position + 1 :]
    return columns


def _read_pairs(
    twins: dict[str, Twins], masks: RecordIndex, renders: RecordIndex, counts: PairCounts
) -> Iterator[Pair]:
    def row(place: Place) -> TrainingRow:
        mask = masks.read(place)
        return training_row(mask, find_render(mask, renders, place), place)

    for pair_id, pair in twins.items():
        if pair.ds is None or pair.dr is None:
            counts.without_twin["ds" if pair.dr is None else "dr"] += 1
            continue
        ds, dr = row(pair.ds), row(pair.dr)
        if ds.split != dr.split:
            hint = "split the skeletons, not their completions"
            raise ExportError(
                f"{pair.ds}: expected twins in one split, got {ds.split!r} and {dr.split!r}. Hint:"
                f" {hint}"
            )
        counts.pairs += 1
        yield pair_id, ds, dr


def write(files: ExportFiles, outputs: Mapping[str, Path]) -> dict[str, Any]:
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
    """Write the twins as Parquet, one row a pair, and return the counts.

    Args:
        lossmasks: The masks of one policy and step, a file a data set.
        renders: The renders that they belong to.
        out: The Parquet file.
        row_group_tokens: About how many tokens a row group holds.

    Raises:
        ExportError: The files do not fit together, or twins stand in two splits.
    """
    counts = PairCounts()
    twins = find_twins(lossmasks, counts, _earlier_turns(renders))
    plain = [f"{side}_{name}" for side in SIDES.values() for name in PLAIN_COLUMNS]
    writer = TokenTableWriter(out, pair_schema(pooling=counts.pooling), plain)
    try:
        pending: list[Pair] = []
        tokens = 0
        with (
            RecordIndex(lossmasks, "lossmask_id") as masks,
            RecordIndex(renders, "render_id") as index,
        ):
            for pair in _read_pairs(twins, masks, index, counts):
                pending.append(pair)
                tokens += len(pair[1].input_ids) + len(pair[2].input_ids)
                if tokens >= row_group_tokens:
                    writer.write(_pair_columns(pending, counts.pooling))
                    pending, tokens = [], 0
        if pending:
            writer.write(_pair_columns(pending, counts.pooling))
        writer.publish()
    finally:
        writer.discard()
    return counts.as_dict()
