"""The viewer's data: a small index of all shown records, and their contents in compressed blocks
that the page opens on demand.

Layout of the page's JSON (read by ``assets/viewer.js``):

- ``tokens``: token id -> text, or a list of bytes where they are only part of a character;
  ``special``: ids of control tokens
- ``datasets``: name, number of traces in all, mask labels; ``traces``: columns of the index, one
  entry a shown trace
- ``rejects``: columns of the index of shown rejects, ``rejectTotal`` in all
- ``blocks``: base64 of raw deflate data; each holds a JSON array of records. Index columns
  ``block`` and ``slot`` name a record.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Hashable, Sequence
from typing import Any, cast

import orjson

from cbdata.lookup import Place, RecordIndex, read_places
from cbdata.lossmask.masks import factors_of, make_mask
from cbdata.lossmask.registry import Policy, Registry
from cbdata.records import Render
from cbdata.report.collect import DataSetSummary, RenderedTrace, page_policies
from cbdata.report.inputs import DataSet, ReportInputs
from cbdata.report.sampling import choose
from cbdata.report.vocabulary import Vocabulary, load_vocabulary
from cbdata.traces.facts import message_losses
from cbdata.traces.turns import completion_span

TOKEN_BUDGET = 12_000_000
REJECT_BUDGET = 16_000_000
RAW_CHARS = 6_000
BLOCK_BYTES = 300_000
PREVIEW_CHARS = 90


class BlockWriter:
    """Collects records into compressed blocks; ``add`` returns the place ``(block, slot)`` of a
    record.
    """

    def __init__(self, block_bytes: int = BLOCK_BYTES) -> None:
        self.blocks: list[str] = []
        self._block_bytes = block_bytes
        self._records: list[bytes] = []
        self._size = 0

    def add(self, record: dict[str, Any]) -> tuple[int, int]:
        """Append one record."""
        if self._size >= self._block_bytes:
            self.flush()
        data = orjson.dumps(record)
        self._records.append(data)
        self._size += len(data)
        return len(self.blocks), len(self._records) - 1

    def flush(self) -> None:
        """Close the open block."""
        if self._records:
            squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
            data = squeeze.compress(b"[" + b",".join(self._records) + b"]") + squeeze.flush()
            self.blocks.append(base64.b64encode(data).decode())
        self._records, self._size = [], 0


def weight_runs(mask: Sequence[float]) -> list[list[float]]:
    """A mask as ``[start, end, weight]`` runs of equal weight above 0, half-open."""
    runs: list[list[float]] = []
    start = 0
    for position in range(1, len(mask) + 1):
        if position == len(mask) or mask[position] != mask[start]:
            if mask[start] > 0:
                runs.append([start, position, mask[start]])
            start = position
    return runs


def pooling_label(label: str) -> str:
    """The label of the second masks of a mask file."""
    return f"{label} pooling"


def preview(trace: dict[str, Any]) -> str:
    """The start of the last user message on one line, for the list."""
    users = [message["content"] for message in trace["messages"] if message["role"] == "user"]
    return " ".join((users[-1] if users else "").split())[:PREVIEW_CHARS]


def trace_record(
    trace: dict[str, Any],
    render: dict[str, Any],
    masks: dict[str, dict[str, Any]],
    policies: Sequence[Policy],
) -> dict[str, Any]:
    """What the viewer shows of one trace. Token positions are those of the render.

    Args:
        trace: The trace.
        render: Its render.
        masks: The mask rows of that render by label.
        policies: Policies to show besides, without a file of theirs.
    """
    alignment, signals, raw = render["alignment"], render["signals"], trace["raw_metadata"]
    shown = {
        label: {
            "policy": row["policy_id"],
            "weight": row["sample_weight"],
            "runs": weight_runs(row["loss_mask"]),
        }
        for label, row in masks.items()
    }
    for label, row in masks.items():
        if "pooling_mask" in row:
            shown[pooling_label(label)] = {
                "policy": row["pooling_policy_id"],
                "weight": row["sample_weight"],
                "runs": weight_runs(row["pooling_mask"]),
            }
    thinking_weight = next(iter(masks.values()), {}).get("thinking_weight", 1.0)
    losses = message_losses(trace["messages"])
    factors = factors_of(cast("Render", render), thinking_weight, losses)
    for policy in policies:
        mask = make_mask(cast("Render", render), policy.layers, factors)
        runs = [[start, end, weight] for start, end, weight in mask.runs if weight > 0]
        shown[f"policy {policy.id}"] = {"policy": policy.id, "weight": None, "runs": runs}
    attack, generation = trace.get("tool_attack") or {}, raw.get("generation") or {}
    locator = trace["source"]["record_locator"]
    own = completion_span(render) if render.get("on_policy") else None
    about = {
        "trace": trace["id"],
        "render": render["render_id"],
        "source": (
            f"{trace['source']['dataset']} / {trace['source']['file']} / {locator['kind']}"
            f" {locator['value']}"
        ),
        "task": " / ".join(
            str(value)
            for value in (
                trace["task"]["family"],
                trace["task"].get("name"),
                trace["task"].get("variant"),
            )
            if value
        ),
        "category": trace["labels"]["category"],
        "class": trace["training"]["mixture"]["class_id"],
        "security outcome": trace["labels"]["security_outcome"],
        "attack": (
            ", ".join(
                name
                for name in ("attack_present", "attack_succeeded", "exposed")
                if trace["labels"][name]
            )
            or "none"
        ),
        "expected tool": attack.get("expected_tool"),
        "tool of the attack": attack.get("simulated_tool"),
        "observed tool": attack.get("observed_tool"),
        "generated by": (
            f"{generation['model']}, attempt {generation['attempt']}, temperature"
            f" {generation['temperature']}"
            if generation
            else None
        ),
        "template": render["render_options"]["chat_template_name"],
        "on policy": (
            "yes: the last turn is what the model itself wrote"
            if render.get("on_policy")
            else "no: the template printed every turn"
        ),
        "cut": (
            f"at {render['render_options']['max_length']} tokens"
            if render["render_options"]["truncated"]
            else None
        ),
    }
    return {
        "about": {name: str(value) for name, value in about.items() if value not in (None, "")},
        "ids": render["input_ids"],
        "turns": [
            [
                turn[key]
                for key in ("role", "token_start", "token_end", "content_start", "content_end")
            ]
            for turn in alignment["message_spans"]
        ],
        "calls": [
            [
                call[key]
                for key in (
                    "tool_name",
                    "token_start",
                    "token_end",
                    "name_token_start",
                    "name_token_end",
                )
            ]
            for call in alignment["tool_call_spans"]
        ],
        "injections": [
            [span["token_start"], span["token_end"]] for span in signals["injection_spans"]
        ],
        "commitments": [
            commitment["commitment_token_idx"] for commitment in signals["action_commitments"]
        ],
        "written": [] if own is None else [list(own)],
        "masks": shown,
        "twin": trace["links"].get("paired_trace_id"),
    }


def _read_masks(entry: RenderedTrace, masks: RecordIndex) -> dict[str, dict[str, Any]]:
    return {label: masks.read(place) for label, place in entry.masks.items()}


def _trace_columns(
    summaries: Sequence[DataSetSummary], registry: Registry, blocks: BlockWriter, budget: int
) -> tuple[dict[str, list[Any]], set[int]]:
    entries = [(number, entry) for number, part in enumerate(summaries) for entry in part.entries]
    keys = [
        ((number, entry.category, entry.class_id, entry.outcome), entry.trace_id)
        for number, entry in entries
    ]
    chosen = choose(entries, keys, [entry.tokens for _, entry in entries], budget)
    names = (
        "id",
        "dataset",
        "category",
        "class",
        "outcome",
        "split",
        "tokens",
        "tools",
        "preview",
        "block",
        "slot",
    )
    columns: dict[str, list[Any]] = {name: [] for name in names}
    used: set[int] = set()
    policies = page_policies(registry)
    with RecordIndex.of({}) as files:
        for number, entry in chosen:
            trace, render = files.read(entry.trace), files.read(entry.render)
            record = trace_record(trace, render, _read_masks(entry, files), policies)
            used.update(render["input_ids"])
            block, slot = blocks.add(record)
            tools = " ".join(dict.fromkeys(call[0] for call in record["calls"]))
            row = (
                entry.trace_id,
                number,
                entry.category,
                entry.class_id,
                entry.outcome,
                entry.split,
                entry.tokens,
                tools,
                preview(trace),
                block,
                slot,
            )
            for name, value in zip(names, row, strict=True):
                columns[name].append(value)
    return columns, used


def reject_record(row: dict[str, Any]) -> dict[str, Any]:
    """What the viewer shows of one reject; the raw record as indented JSON, cut at RAW_CHARS
    characters.
    """
    raw = row.get("raw")
    text = (
        raw
        if isinstance(raw, str)
        else ""
        if raw is None
        else orjson.dumps(raw, option=orjson.OPT_INDENT_2).decode()
    )
    return {"detail": row["detail"], "raw": text[:RAW_CHARS], "rawLength": len(text)}


def _reject_columns(
    inputs: ReportInputs, blocks: BlockWriter, budget: int
) -> tuple[dict[str, list[Any]], int]:
    places: list[Place] = []
    keys: list[tuple[Hashable, str]] = []
    for path in inputs.rejects:
        for place, row in read_places(path):
            places.append(place)
            keys.append(((path, row["reason"]), f"{row['record_id']} {place.line}"))
    names = ("stage", "name", "reason", "record", "file", "line", "block", "slot")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    with RecordIndex.of({}) as files:
        for place in choose(
            places, keys, [min(place.length, RAW_CHARS) for place in places], budget
        ):
            row = files.read(place)
            values = (
                row["stage"],
                place.path.stem,
                row["reason"],
                row["record_id"],
                row["file"],
                row["line"],
                *blocks.add(reject_record(row)),
            )
            for column, value in zip(names, values, strict=True):
                columns[column].append(value)
    return columns, len(places)


def _mask_labels(
    dataset: DataSet, summary: DataSetSummary, registry: Registry
) -> list[dict[str, str]]:
    labels = [
        {"label": label, "title": f"{label}/{dataset.name} ({', '.join(sorted(counts))})"}
        for label, counts in summary.file_policies.items()
    ]
    labels += [
        {
            "label": pooling_label(label),
            "title": f"{label}/{dataset.name}, pooling ({', '.join(sorted(counts))})",
        }
        for label, counts in summary.pooling_policies.items()
    ]
    return labels + [
        {"label": f"policy {policy.id}", "title": policy.id} for policy in page_policies(registry)
    ]


def viewer_data(
    inputs: ReportInputs,
    summaries: Sequence[DataSetSummary],
    registry: Registry,
    token_budget: int = TOKEN_BUDGET,
    reject_budget: int = REJECT_BUDGET,
) -> tuple[dict[str, Any], list[str]]:
    """What the page's script reads.

    Args:
        inputs: The files of the run.
        summaries: What is known of each of its data sets, in the same order.
        registry: The policies that are shown on every trace.
        token_budget: How many tokens of traces the page may hold.
        reject_budget: How many characters of rejects the page may hold.

    Returns:
        The index as JSON values, and the blocks in base64.
    """
    blocks = BlockWriter()
    traces, used = _trace_columns(summaries, registry, blocks, token_budget)
    blocks.flush()
    rejects, reject_total = _reject_columns(inputs, blocks, reject_budget)
    blocks.flush()
    vocabulary = (
        load_vocabulary(inputs.tokenizer)
        if inputs.tokenizer
        else Vocabulary({}, {}, frozenset(), byte_level=False)
    )
    index = {
        "datasets": [
            {
                "name": part.name,
                "total": len(part.entries),
                "masks": _mask_labels(dataset, part, registry),
            }
            for dataset, part in zip(inputs.datasets, summaries, strict=True)
        ],
        "traces": traces,
        "rejects": rejects,
        "rejectTotal": reject_total,
        "tokens": vocabulary.table(used),
        "special": sorted(used & vocabulary.special),
    }
    return index, blocks.blocks
