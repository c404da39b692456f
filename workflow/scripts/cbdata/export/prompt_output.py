"""Plain prompt/output pairs, as the original circuit-breaker code reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cbdata.atomic_file import AtomicFile, discard_together, open_together, publish_together
from cbdata.export import ExportFiles
from cbdata.export.pair_table import SIDES, PairTable
from cbdata.json_file import write_json
from cbdata.lookup import Place, RecordFiles, read_places

SEPARATOR = "<SEPARATOR>"
"""What that code puts between prompt and output, and splits at again: it must be in neither."""
TRAINING_SPLIT = "train"
HELD_BACK = 10
"""Where no split but the one for training has completions, one pair in so many goes to the file for
validation, because that code cannot do without one. Not the first, which a run with a single pair
trains on.
"""


def prompt_output(trace: Mapping[str, Any]) -> dict[str, str] | str:
    """The ``{"prompt", "output"}`` of a single-turn trace, or the reason why it has none.

    The original code wraps ``prompt`` as one user turn and trains on ``output`` after it, so only
    [system,] user, assistant fits. ``output`` is what the model wrote, word for word where the
    trace kept that, without what ended its turn: that code ends no turn. The system message is left
    out.

    Args:
        trace: A trace_v1.
    """
    roles = [message["role"] for message in trace["messages"]]
    if roles[:1] == ["system"]:
        roles = roles[1:]
    if roles == ["user"]:
        return "skeleton"
    if roles != ["user", "assistant"]:
        return "not_single_turn"
    user, assistant = trace["messages"][-2:]
    output = _written(trace)
    if output is None:
        if assistant.get("tool_calls"):
            return "call_text_not_kept"
        output = assistant["content"]
    if not output:
        return "empty_output"
    if SEPARATOR in user["content"] or SEPARATOR in output:
        return "separator_in_text"
    return {"prompt": user["content"], "output": output}


def _written(trace: Mapping[str, Any]) -> str | None:
    """What the model wrote in its last turn, through the end of its last word or call; None where
    the trace does not say.
    """
    hints = trace["signal_hints"]
    raw = hints.get("raw_assistant_content")
    spans = hints.get("completion_spans")
    if raw is None or spans is None:
        return None if raw is None else str(raw)
    ends = [
        *(end for kind in ("thinking", "content") for _, end in spans[kind]),
        *(call["end"] for call in spans["calls"]),
    ]
    return str(raw)[: max(ends, default=0)]


@dataclass
class _Counts:
    """Rows of the files by category, completions by split, pairs by file, and what is left out,
    by reason.
    """

    written: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    pairs_left_out: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {name: dict(sorted(count.items())) for name, count in vars(self).items()}


class _Array:
    """A JSON array that is written element by element."""

    def __init__(self, file: AtomicFile) -> None:
        self.file, self.rows = file, 0

    def add(self, row: Mapping[str, str]) -> None:
        self.file.write((b",\n" if self.rows else b"[\n") + orjson.dumps(row))
        self.rows += 1

    def end(self) -> None:
        self.file.write(b"\n]\n" if self.rows else b"[]\n")


def write(
    files: ExportFiles, outputs: Mapping[str, Path], _options: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the outputs ``harmful``, ``benign``, ``train``, ``val`` and ``counts``; return the
    counts.
    """
    counts = export_prompt_output(files.traces, outputs)
    write_json(outputs["counts"], counts)
    return counts


def export_prompt_output(traces: Sequence[Path], outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Write JSON arrays of prompt/output pairs: one a category, and one of twins for training and
    one for validation.

    A row of twins has the prompt and the output of the harmful trace, and the benign one's output
    as ``llama3_output``: the answer to harmful prompts that the code for Llama models holds on to.

    Args:
        traces: The traces, a file a data set.
        outputs: The files ``harmful``, ``benign``, ``train`` (twins of the split of this name) and
            ``val`` (those of all other splits; where there are none, every tenth pair).

    Returns:
        How many rows and pairs were written, and left out by reason.
    """
    counts = _Counts()
    names = ("harmful", "benign", "train", "val")
    opened = open_together(outputs[name] for name in names)
    arrays = dict(zip(names, map(_Array, opened), strict=True))
    twins = PairTable()
    try:
        for path in traces:
            for place, trace in read_places(path):
                category = trace["labels"]["category"]
                parents = trace["links"].get("parent_trace_ids")
                if parents and trace["completeness"] == "complete":
                    twins.set(parents[0], category, place.packed())
                    counts.splits[trace["split"]] += 1
                pair = prompt_output(trace)
                if isinstance(pair, str):
                    counts.left_out[pair] += 1
                    continue
                arrays[category].add(pair)
                counts.written[category] += 1
        with RecordFiles() as records:
            for _, twin in twins.pairs():
                _write_twin(twin, records, arrays, counts)
        for array in arrays.values():
            array.end()
        publish_together(opened)
    finally:
        discard_together(opened)
    return counts.as_dict()


def _write_twin(
    twin: Mapping[str, Any], records: RecordFiles, arrays: Mapping[str, _Array], counts: _Counts
) -> None:
    if len(twin) < len(SIDES):
        counts.pairs_left_out["without_twin"] += 1
        return
    harmful, benign = (records.read(Place.unpack(twin[side])) for side in SIDES)
    pair, other = prompt_output(harmful), prompt_output(benign)
    if isinstance(pair, str) or isinstance(other, str):
        counts.pairs_left_out[pair if isinstance(pair, str) else str(other)] += 1
        return
    name = "train" if harmful["split"] == TRAINING_SPLIT else "val"
    if counts.splits.keys() == {TRAINING_SPLIT}:
        name = "val" if counts.pairs.total() % HELD_BACK == 1 else "train"
    arrays[name].add({**pair, "llama3_output": other["output"]})
    counts.pairs[name] += 1
