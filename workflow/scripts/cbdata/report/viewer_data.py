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

from collections.abc import Sequence
from typing import Any

from cbdata.lookup import Place, PlaceTable, RecordFiles, RecordIndex, read_places
from cbdata.lossmask.registry import Registry
from cbdata.report.blocks import BlockWriter
from cbdata.report.collect import DataSetSummary, RenderedTrace, page_policies
from cbdata.report.inputs import DataSet, ReportInputs
from cbdata.report.reject_view import PROMPT_CHARS, RAW_CHARS, reject_record
from cbdata.report.sampling import Sample
from cbdata.report.trace_view import FACETS, facets, pooling_label, preview, trace_record
from cbdata.report.vocabulary import Vocabulary, load_vocabulary

TOKEN_BUDGET = 12_000_000
REJECT_BUDGET = 16_000_000
COLUMNS = (
    *("id", "dataset", "category", "class", "outcome", "split"),
    *FACETS,
    *("tokens", "tools", "preview", "block", "slot"),
)
"""What the index has of every shown trace."""
REPEATED = {"category", "class", "outcome", "split", *FACETS, "tools"}
"""Columns of few values, each of which many traces have."""


def _read_masks(entry: RenderedTrace, masks: RecordFiles) -> dict[str, dict[str, Any]]:
    return {label: masks.read(place) for label, place in entry.masks.items()}


def _trace_columns(
    summaries: Sequence[DataSetSummary], registry: Registry, blocks: BlockWriter, budget: int
) -> tuple[dict[str, list[Any]], set[int]]:
    sample = Sample()
    for number, part in enumerate(summaries):
        for entry in part.entries:
            stratum = (number, entry.category, entry.class_id, entry.outcome)
            sample.add((number, entry.packed()), stratum, entry.trace_id, entry.tokens)
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    words: dict[str, str] = {}
    used: set[int] = set()
    policies = page_policies(registry)
    with RecordFiles() as files:
        for number, packed in sample.choose(budget):
            entry = RenderedTrace.unpack(packed)
            trace, render = files.read(entry.trace), files.read(entry.render)
            record = trace_record(trace, render, _read_masks(entry, files), policies)
            used.update(render["input_ids"])
            block, slot = blocks.add(record)
            row = {
                "id": entry.trace_id,
                "dataset": number,
                "category": entry.category,
                "class": entry.class_id,
                "outcome": entry.outcome,
                "split": entry.split,
                **facets(trace, render),
                "tokens": entry.tokens,
                "tools": " ".join(dict.fromkeys(call[0] for call in record["calls"])),
                "preview": preview(trace),
                "block": block,
                "slot": slot,
            }
            for name in COLUMNS:
                value = row[name]
                if name in REPEATED:  # one text for all traces that have it
                    value = words.setdefault(value, value)
                columns[name].append(value)
    return columns, used


def _skeletons(inputs: ReportInputs) -> RecordIndex:
    """The skeletons of the fill stage by their ids; of copies of one the first."""
    places = PlaceTable()
    for path in inputs.skeletons:
        if path.exists():
            for place, record in read_places(path):
                places.add(str(record.get("id")), place)
    return RecordIndex.of(places)


def _reject_columns(
    inputs: ReportInputs, blocks: BlockWriter, budget: int
) -> tuple[dict[str, list[Any]], int]:
    sample = Sample()
    for path in inputs.rejects:
        for place, row in read_places(path):
            prompt = PROMPT_CHARS if row["stage"] == "fill" else 0
            size = min(place.length, RAW_CHARS) + prompt
            name = f"{row['record_id']} {place.line}"
            sample.add(place.packed(), (path, row["reason"]), name, size)
    names = ("stage", "name", "reason", "record", "file", "line", "block", "slot")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    with RecordFiles() as files, _skeletons(inputs) as skeletons:
        for place in map(Place.unpack, sample.choose(budget)):
            row, name = files.read(place), place.path.stem
            skeleton = skeletons.get(row["record_id"]) if row["stage"] == "fill" else None
            values = (
                row["stage"],
                name,
                row["reason"],
                row["record_id"],
                row["file"],
                row["line"],
                *blocks.add(reject_record(row, name, skeleton)),
            )
            for column, value in zip(names, values, strict=True):
                columns[column].append(value)
    return columns, len(sample)


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
