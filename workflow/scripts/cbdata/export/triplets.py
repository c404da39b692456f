"""Triplets of token ids: a harmful answer, the benign one that it is moved to, and an anchor that
must stay as it is, with a window behind each prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cbdata.export import ExportFiles
from cbdata.export.jsonl_folder import JsonlFolder
from cbdata.export.pairs import (
    PairCounts,
    earlier_turns,
    find_twins,
    read_pairs,
    shared_prefix,
)
from cbdata.export.rows import ExportError, TrainingRow
from cbdata.json_file import write_json
from cbdata.lookup import RecordFiles, RecordIndex


def window(row: TrainingRow) -> tuple[int, int] | None:
    """The tokens ``[start, end)`` from the first through the last one with loss behind the prompt;
    None where no token there has any.

    Args:
        row: A training row. Under the policy ``completion_window`` this is that window.
    """
    trained = np.flatnonzero(row.loss_mask[row.prompt_length :])
    if not len(trained):
        return None
    return row.prompt_length + int(trained[0]), row.prompt_length + int(trained[-1]) + 1


def triplet(pair_id: str, ds: TrainingRow, dr: TrainingRow, task: Mapping[str, Any]) -> Any:
    """The triplet of two twins, or the reason why they give none.

    Target and anchor are both the benign twin: harmful states are moved to those of the benign
    answer, and the benign answer's own stay where they are.

    Args:
        pair_id: The skeleton's id.
        ds: The harmful row.
        dr: The benign row.
        task: ``task`` of the harmful trace.

    Returns:
        A JSON object, or a reason.
    """
    row: dict[str, Any] = {
        "pair_id": pair_id,
        "suite": task["family"],
        "user_task_id": task.get("name"),
        "injection_task_id": task.get("variant"),
        "policy_id": ds.policy_id,
        "shared_prefix_tokens": shared_prefix(ds.input_ids, dr.input_ids),
    }
    for name, side in (("bad", ds), ("target", dr), ("anchor", dr)):
        place = window(side)
        if place is None:
            return f"{'harmful' if side is ds else 'benign'}_without_window"
        row |= {
            f"{name}_ids": side.input_ids.tolist(),
            f"{name}_prefix_len": side.prompt_length,
            f"{name}_window": list(place),
        }
    return row


def write(
    files: ExportFiles, outputs: Mapping[str, Path], _options: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the outputs ``rows``, a file a split, and ``counts``; return the counts.

    Args:
        files: Traces, renders and loss masks of the run.
        outputs: The folder ``rows`` and the file ``counts``.

    Raises:
        ExportError: The files do not fit together, or twins stand in two splits.
    """
    pairs, left_out = PairCounts(), Counter[str]()
    windows: Counter[int] = Counter()
    twins = find_twins(files.lossmasks, pairs, earlier_turns(files.renders))
    with (
        RecordIndex(files.traces, "id") as traces,
        RecordFiles() as masks,
        RecordIndex(files.renders, "render_id") as renders,
        JsonlFolder(outputs["rows"]) as folder,
    ):
        for pair_id, ds, dr in read_pairs(twins, masks, renders, pairs):
            trace = traces.get(ds.trace_id)
            if trace is None:
                raise ExportError(
                    f"pair {pair_id}: expected trace {ds.trace_id}, found none. Hint: give the"
                    " trace files that these renders were made from"
                )
            row = triplet(pair_id, ds, dr, trace["task"])
            if isinstance(row, str):
                left_out[row] += 1
                continue
            folder.add(ds.split, row)
            start, end = row["bad_window"]
            windows[end - start] += 1
    counts = {
        **pairs.as_dict(),
        "written": windows.total(),
        "left_out": dict(sorted(left_out.items())),
        "bad_window_tokens": {str(length): number for length, number in sorted(windows.items())},
    }
    write_json(outputs["counts"], counts)
    return counts
