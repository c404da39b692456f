"""Checks of lossmask_v1 rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from cbdata.disk_table import DiskTable
from cbdata.lookup import Place, PlaceTable, RecordIndex
from cbdata.lossmask.masks import Factor, SpanError, factors_of, make_mask
from cbdata.lossmask.policies import Layer, PolicyError
from cbdata.lossmask.registry import Registry
from cbdata.records import LossMask, Render
from cbdata.records.words import ROLES
from cbdata.schemas import all_errors, first_error
from cbdata.validation.findings import Findings
from cbdata.validation.traces import SeenTraces

RATIO_TOLERANCE = 1e-6
WEIGHT_TOLERANCE = 1e-9
ANY_TURN = frozenset({"sequence", "range", "injection", "bos"})


def allowed_tokens(render: Render, layers: tuple[Layer, ...]) -> NDArray[np.bool_]:
    """Tokens in which a policy may put loss: those of the turns whose role one of its layers
    trains.

    Wider than the mask, and found from the message spans alone, so that a wrong span of another
    kind shows.
    """
    allowed = np.zeros(len(render["input_ids"]), np.bool_)
    for layer in layers:
        if layer.weight == 0:
            continue
        if layer.span in ANY_TURN:
            allowed[:] = True
            continue
        header = layer.span == "message"
        roles = layer.roles or (
            frozenset(ROLES) if layer.span in ("message", "content") else frozenset({"assistant"})
        )
        for turn in render["alignment"]["message_spans"]:
            if turn["role"] in roles:
                allowed[
                    turn["token_start" if header else "content_start"] : turn[
                        "token_end" if header else "content_end"
                    ]
                ] = True
    for layer in layers:
        if layer.weight == 0 and layer.span == "message":
            for turn in render["alignment"]["message_spans"]:
                if turn["role"] in (layer.roles or ()):
                    allowed[turn["token_start"] : turn["token_end"]] = False
    return allowed


class Applied(NamedTuple):
    """One mask of a row, the field that it stands in, and the policy that it is said to be of."""

    key: str
    weights: NDArray[np.float64]
    policy_id: str
    version: str
    params: Mapping[str, Any]


def _applied(mask: LossMask) -> Iterator[Applied]:
    yield Applied(
        "loss_mask",
        np.array(mask["loss_mask"], np.float64),
        mask["policy_id"],
        mask["policy_version"],
        mask["policy_params"],
    )
    if "pooling_mask" in mask:
        yield Applied(
            "pooling_mask",
            np.array(mask["pooling_mask"], np.float64),
            mask["pooling_policy_id"],
            mask["pooling_policy_version"],
            mask["pooling_policy_params"],
        )


def _losses(mask: LossMask) -> dict[int, float]:
    return {entry["message_index"]: entry["loss"] for entry in mask.get("message_losses", ())}


class LossmaskChecks:
    """Checks of all loss mask rows. ``renders`` and ``traces`` are None where no such files are
    given. ``masked`` says for each mask file how many renders of the file of its name have a mask
    in it.
    """

    def __init__(
        self,
        findings: Findings,
        renders: RecordIndex | None,
        traces: SeenTraces | None,
        registry: Registry,
    ) -> None:
        """Prepare the checks.

        Args:
            findings: Takes the results.
            renders: The renders by id, or None where no render files are given.
            traces: The traces by id, or None where no trace files are given.
            registry: The policies that the masks are compared with.
        """
        self.findings, self.renders, self.traces, self.registry = (
            findings,
            renders,
            traces,
            registry,
        )
        self.masked: Counter[Path] = Counter()
        self._masked = PlaceTable()
        self._ids = DiskTable()

    def check(self, place: Place, row: dict[str, Any]) -> None:
        """Check one row, alone and against its render and trace."""
        expect = self.findings.expect
        error = first_error("lossmask_v1", row)
        if not expect(
            "lossmask_schema", error is None, place, lambda: all_errors("lossmask_v1", row)
        ):
            return
        mask = cast("LossMask", row)
        name = mask["lossmask_id"]
        new = self._ids.add(f"{place.path} {name}")
        expect("lossmask_id_unique", new, place, lambda: f"{name} is in this file already")
        weights = np.array(mask["loss_mask"], np.float64)
        self._check_stats(place, mask, weights)
        for applied in _applied(mask):
            self._check_not_empty(place, name, applied)
        if self.traces is not None:
            self._check_trace(place, mask)
        if self.renders is not None:
            self._check_render(place, mask, weights)

    def _check_not_empty(self, place: Place, name: str, applied: Applied) -> None:
        trained = bool((applied.weights > 0).any())
        if applied.policy_id in self.registry.entries:
            trained = trained or self.registry.entry(applied.policy_id)["allow_empty"]
        self.findings.expect(
            "lossmask_not_empty",
            trained,
            place,
            lambda: f"{name}: policy {applied.policy_id} gives {applied.key} no token",
        )

    def _check_stats(self, place: Place, mask: LossMask, weights: NDArray[np.float64]) -> None:
        stats, total, trained = mask["stats"], len(weights), int((weights > 0).sum())
        counts = (stats["total_tokens"], stats["masked_tokens"], stats["unmasked_tokens"])
        right = counts == (total, total - trained, trained)
        ratio = (total - trained) / total if total else stats["mask_ratio"]
        right = right and abs(stats["mask_ratio"] - ratio) <= RATIO_TOLERANCE
        self.findings.expect(
            "lossmask_stats",
            right,
            place,
            lambda: (
                f"{mask['lossmask_id']}: {stats}, the mask has {trained} of {total} tokens with"
                " loss"
            ),
        )
        zero = mask["sample_weight"] == 0
        self.findings.expect(
            "lossmask_weights",
            mask["zero_weight"] == zero,
            place,
            lambda: (
                f"{mask['lossmask_id']}: zero_weight {mask['zero_weight']}, sample_weight"
                f" {mask['sample_weight']}"
            ),
        )

    def _check_trace(self, place: Place, mask: LossMask) -> None:
        expect, name = self.findings.expect, mask["lossmask_id"]
        trace = None if self.traces is None else self.traces.get(mask["trace_id"])
        if (
            not expect(
                "lossmask_join",
                trace is not None,
                place,
                lambda: f"{name}: no trace {mask['trace_id']}",
            )
            or trace is None
        ):
            return
        own = {
            "category": trace.category,
            "class_id": trace.class_id,
            "split": trace.split,
            "pair_id": trace.parents[0] if trace.parents else None,
        }
        said: Mapping[str, object] = mask
        losses = _losses(mask)
        wrong: dict[str, object] = {
            key: (said[key], value) for key, value in own.items() if said[key] != value
        }
        if losses != trace.losses:
            wrong["message_losses"] = (losses, trace.losses)
        expect(
            "lossmask_trace", not wrong, place, lambda: f"{name}: (mask, trace) differ in {wrong}"
        )
        product = trace.sample_weight * mask["class_weight"]
        expect(
            "lossmask_weights",
            abs(mask["sample_weight"] - product) <= WEIGHT_TOLERANCE * max(product, 1.0),
            place,
            lambda: (
                f"{name}: sample_weight {mask['sample_weight']}, expected {trace.sample_weight} x"
                f" {mask['class_weight']}"
            ),
        )

    def _check_render(self, place: Place, mask: LossMask, weights: NDArray[np.float64]) -> None:
        expect, name = self.findings.expect, mask["lossmask_id"]
        found = self.renders.get(mask["render_id"]) if self.renders is not None else None
        render = cast("Render | None", found)
        if (
            not expect(
                "lossmask_join",
                render is not None,
                place,
                lambda: f"{name}: no render {mask['render_id']}",
            )
            or render is None
        ):
            return
        key = f"{place.path} {mask['render_id']}"
        new = self._masked.add(key, place)
        same = new and render["trace_id"] == mask["trace_id"]
        rendered = self.renders.place(mask["render_id"]) if self.renders is not None else None
        if new and rendered is not None:
            self.masked[place.path] += rendered.path.stem == place.path.stem
        expect(
            "lossmask_join",
            same,
            place,
            lambda: (
                f"{name}: trace {mask['trace_id']}, the render's is {render['trace_id']}; first"
                f" mask at {self._masked.get(key)}"
            ),
        )
        ids = np.array(render["input_ids"], np.int64)
        labels = np.array(mask["labels"], np.int64)
        lengths = {"input_ids": len(ids), "labels": len(labels)}
        lengths |= {applied.key: len(applied.weights) for applied in _applied(mask)}
        if not expect(
            "lossmask_lengths",
            len(set(lengths.values())) == 1,
            place,
            lambda: f"{name}: {lengths}",
        ):
            return
        different = np.flatnonzero(labels != np.where(weights > 0, ids, -100))
        expect(
            "lossmask_labels",
            not len(different),
            place,
            lambda: f"{name}: {len(different)} labels differ, first at {different[0]}",
        )
        if render["sequence_length"] != len(ids):
            return  # render_lengths has failed, and no mask can be made of this render
        losses = _losses(mask)
        factors = factors_of(render, mask.get("thinking_weight", 1.0), losses)
        for applied in _applied(mask):
            self._check_policy(place, name, applied, render, factors)

    def _check_policy(
        self,
        place: Place,
        name: str,
        applied: Applied,
        render: Render,
        factors: Sequence[Factor],
    ) -> None:
        key, weights, policy_id, version, params = applied
        if policy_id not in self.registry.entries:
            self.findings.note(
                f"roles and masks of policy {policy_id!r}: it is not in the registry"
                f" {self.registry.path}"
            )
            return
        try:
            policy = self.registry.bind(policy_id, params)
            expected = np.array(make_mask(render, policy.layers, factors).weights(), np.float64)
        except (PolicyError, SpanError) as error:
            self.findings.expect("lossmask_policy", False, place, f"{name}: {key}: {error}")
            return
        outside = np.flatnonzero((weights > 0) & ~allowed_tokens(render, policy.layers))
        self.findings.expect(
            "lossmask_roles",
            not len(outside),
            place,
            lambda: (
                f"{name}: {key}: {len(outside)} tokens with weight outside, first at {outside[0]}"
            ),
        )
        if policy.version != version:
            self.findings.note(
                f"masks of policy {policy_id} {version}: the registry has version {policy.version}"
            )
            return
        different = np.flatnonzero(expected != weights)
        self.findings.expect(
            "lossmask_policy",
            not len(different),
            place,
            lambda: f"{name}: {key}: {len(different)} weights differ, first at {different[0]}",
        )
