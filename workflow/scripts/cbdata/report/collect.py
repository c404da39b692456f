"""One pass over a data set's files: counts for the figures, and what the viewer chooses its sample
from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson

from cbdata.disk_table import DiskTable
from cbdata.lookup import Place, PlaceTable, read_places
from cbdata.lossmask.masks import factors_of, make_mask
from cbdata.lossmask.registry import Policy, Registry
from cbdata.records import Render
from cbdata.report.attacks import AttackTally
from cbdata.report.classes import ClassTally
from cbdata.report.injections import InjectionTally
from cbdata.report.inputs import DataSet
from cbdata.report.pairs import PairTally
from cbdata.report.roles import role_of
from cbdata.report.splits import SplitTally
from cbdata.report.yield_keys import YieldTally
from cbdata.tools import INLINE
from cbdata.traces.facts import message_losses


@dataclass(slots=True)
class RenderedTrace:
    """One rendered trace: where its records stand and what the viewer lists and filters by. Masks
    are keyed as in ``DataSetSummary.mask_labels``.
    """

    trace: Place
    render: Place
    trace_id: str
    tokens: int
    category: str
    class_id: str
    outcome: str
    split: str
    masks: dict[str, Place] = field(default_factory=dict)

    def packed(self) -> list[Any]:
        """The fields as JSON values."""
        return [
            self.trace.packed(),
            self.render.packed(),
            self.trace_id,
            self.tokens,
            self.category,
            self.class_id,
            self.outcome,
            self.split,
            {label: place.packed() for label, place in self.masks.items()},
        ]

    @classmethod
    def unpack(cls, values: list[Any]) -> RenderedTrace:
        """The trace of ``packed`` values."""
        trace, render, trace_id, tokens, category, class_id, outcome, split, masks = values
        return cls(
            trace=Place.unpack(trace),
            render=Place.unpack(render),
            trace_id=trace_id,
            tokens=tokens,
            category=category,
            class_id=class_id,
            outcome=outcome,
            split=split,
            masks={label: Place.unpack(place) for label, place in masks.items()},
        )


class RenderedTraces:
    """Rendered traces in their order, in a table on disk."""

    def __init__(self) -> None:
        self._table = DiskTable(("packed",))

    def append(self, entry: RenderedTrace) -> None:
        """Take in one more."""
        self._table.add(len(self._table), orjson.dumps(entry.packed()))

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[RenderedTrace]:
        for _, packed in self._table.rows():
            yield RenderedTrace.unpack(orjson.loads(packed))


@dataclass
class Share:
    """Tokens with loss out of all tokens, over the rows that have a mask at all."""

    rows: int = 0
    tokens: int = 0
    trained: int = 0


@dataclass
class DataSetSummary:
    """What is known of one data set after reading it.

    ``lengths`` counts the renders of each length in tokens before the cut at ``max_length``;
    ``on_policy`` counts those that hold the ids that the model wrote; ``shares``
    are by mask label, where a label is that of a mask file (``lossmasks``, ``by_policy/...``) or
    ``policy ID`` for a policy applied for the report alone. ``pooling_policies`` are those of the
    second masks by the label of their file, and ``thinking_weight`` is what the main masks were
    made with, and the policies of the report too.
    """

    name: str
    traces: int = 0
    by_category: Counter[str] = field(default_factory=Counter)
    by_outcome: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    by_attempt: Counter[int] = field(default_factory=Counter)
    yields: YieldTally = field(default_factory=YieldTally)
    attacks: AttackTally = field(default_factory=AttackTally)
    injections: InjectionTally = field(default_factory=InjectionTally)
    classes: ClassTally = field(default_factory=ClassTally)
    provenance: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    truncated: int = 0
    on_policy: int = 0
    max_lengths: set[int] = field(default_factory=set)
    shares: dict[str, Share] = field(default_factory=dict)
    file_policies: dict[str, Counter[str]] = field(default_factory=dict)
    pooling_policies: dict[str, Counter[str]] = field(default_factory=dict)
    thinking_weight: float = 1.0
    entries: RenderedTraces = field(default_factory=RenderedTraces)


MAIN_MASKS = "lossmasks"


@dataclass
class RunTallies:
    """What is counted over all data sets of a run at once, since it may lie in two of them."""

    splits: SplitTally = field(default_factory=SplitTally)
    pairs: PairTally = field(default_factory=PairTally)


def _add_trace(summary: DataSetSummary, trace: dict[str, Any]) -> None:
    summary.traces += 1
    labels, raw = trace["labels"], trace["raw_metadata"]
    summary.by_category[labels["category"]] += 1
    summary.by_outcome[labels["security_outcome"]] += 1
    role = role_of(trace)
    summary.roles[role] += 1
    summary.yields.add(trace)
    summary.attacks.add(trace)
    summary.classes.add_trace(trace["training"]["mixture"]["class_id"], role)
    if schema := raw.get("tool_schema_ref"):
        summary.provenance[("tool schema", schema["version"], schema["digest"])] += 1
    elif "tools" in trace:
        summary.provenance[("tool schema", INLINE, "-")] += 1
    if generation := raw.get("generation"):
        summary.by_attempt[generation["attempt"]] += 1
        name = f"{generation['model']} ({generation['backend']} {generation.get('version', '')})"
        summary.provenance[("model", name, generation.get("revision") or "-")] += 1


def _add_render(summary: DataSetSummary, render: dict[str, Any]) -> None:
    options = render["render_options"]
    summary.lengths[options.get("full_length", render["sequence_length"])] += 1
    summary.truncated += options["truncated"]
    summary.on_policy += render.get("on_policy", False)
    summary.max_lengths.add(options["max_length"])
    summary.provenance[("tokenizer", render["tokenizer_id"], render["tokenizer_sha256"])] += 1
    summary.provenance[
        ("chat template", options["chat_template_name"], render["chat_template_sha256"])
    ] += 1


def page_policies(registry: Registry) -> list[Policy]:
    """The policies that need no parameters, to show what each would train."""
    return [
        registry.bind(name) for name in registry.ids if registry.entry(name)["strategy"] == "layers"
    ]


def collect(
    dataset: DataSet, registry: Registry, tallies: RunTallies | None = None
) -> DataSetSummary:
    """Read a data set.

    Args:
        dataset: Its files.
        registry: The policies that the page shows.
        tallies: Take in what is counted over all data sets.

    Raises:
        JsonlError: A line is not a record; join errors are the business of ``validate``.
    """
    summary, tallies = DataSetSummary(dataset.name), tallies or RunTallies()
    masks = {
        label: _read_masks(summary, label, path) for label, path in mask_files(dataset).items()
    }
    policies = page_policies(registry)
    traces = PlaceTable()
    for place, trace in read_places(dataset.traces):
        _add_trace(summary, trace)
        tallies.splits.add(trace)
        labels = trace["labels"]
        about = {
            "category": labels["category"],
            "outcome": labels["security_outcome"],
            "split": trace["split"],
        }
        about["class_id"] = trace["training"]["mixture"]["class_id"]
        losses = list(message_losses(trace["messages"]).items())
        pair_id = next(iter(trace["links"].get("parent_trace_ids") or ()), None)
        kept = (about, losses, role_of(trace), labels["exposed"], pair_id)
        traces.set(trace["id"], place, kept)
    for place, render in read_places(dataset.renders):
        _add_render(summary, render)
        found = traces.find(render["trace_id"])
        if found is None:
            raise KeyError(render["trace_id"])
        stands, (about, losses, role, exposed, pair_id) = found
        summary.injections.add(render, role, exposed)
        factors = factors_of(cast("Render", render), summary.thinking_weight, dict(losses))
        for policy in policies:
            mask = make_mask(cast("Render", render), policy.layers, factors)
            _add_share(summary, f"policy {policy.id}", mask.length, mask.trained)
        masked = {label: places.get(render["render_id"]) for label, places in masks.items()}
        own = {label: at for label, at in masked.items() if at is not None}
        if pair_id is not None and render.get("last_turn", True) and MAIN_MASKS in own:
            tallies.pairs.add(pair_id, about["category"], place)
        summary.entries.append(
            RenderedTrace(
                trace=stands,
                render=place,
                trace_id=render["trace_id"],
                tokens=len(render["input_ids"]),
                masks=own,
                **about,
            )
        )
    return summary


def mask_files(dataset: DataSet) -> dict[str, Path]:
    """All mask files of a data set by label, the main one first."""
    return {MAIN_MASKS: dataset.lossmasks, **dataset.sweeps}


def _read_masks(summary: DataSetSummary, label: str, path: Path) -> PlaceTable:
    """Count the masks of a file and return their places by render id."""
    places = PlaceTable()
    policies = summary.file_policies.setdefault(label, Counter())
    for place, mask in read_places(path):
        places.set(mask["render_id"], place)
        policies[mask["policy_id"]] += 1
        _add_share(summary, label, mask["stats"]["total_tokens"], mask["stats"]["unmasked_tokens"])
        if label == MAIN_MASKS:
            summary.classes.add_mask(mask)
            summary.thinking_weight = mask.get("thinking_weight", 1.0)
        if "pooling_mask" in mask:
            counts = summary.pooling_policies.setdefault(label, Counter())
            counts[mask["pooling_policy_id"]] += 1
    return places


def _add_share(summary: DataSetSummary, label: str, tokens: int, trained: int) -> None:
    if trained:
        share = summary.shares.setdefault(label, Share())
        share.rows += 1
        share.tokens += tokens
        share.trained += trained
