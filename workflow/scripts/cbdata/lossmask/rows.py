"""One row of a loss mask file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from cbdata.ids import derived_id
from cbdata.lossmask.masks import Factor, IdsText, Mask, factors_of, make_mask
from cbdata.lossmask.registry import Policy
from cbdata.lossmask.selection import Chosen
from cbdata.records import Render
from cbdata.rejects import Reject
from cbdata.traces.facts import TraceFacts


class Masks(NamedTuple):
    """The masks of one row; ``pooling`` is None where no pooling policy is set."""

    loss: Mask
    pooling: Mask | None


def masks_of(render: Render, trace: TraceFacts, chosen: Chosen) -> Masks:
    """The masks that a trace's policies give for its render, reasoning and turns weighted.

    Args:
        render: The render.
        trace: The trace that was rendered.
        chosen: The policies and weights that the trace has.

    Raises:
        Reject: A policy takes no token of this render, and its entry does not allow that.
        SpanError: The render has a span that does not fit its tokens.
        PolicyError: A mask has too many distinct weights.
    """
    factors = factors_of(render, chosen.thinking_weight, trace.losses)
    policy, pooling = chosen.policy, chosen.pooling
    loss = make_mask(render, policy.layers, factors)
    if not loss.trained and not policy.allow_empty:
        raise Reject("empty_mask", f"policy {policy.id} trains {_nothing(render, policy, factors)}")
    if pooling is None:
        return Masks(loss, None)
    second = make_mask(render, pooling.layers, factors)
    if not second.trained and not pooling.allow_empty:
        detail = f"policy {pooling.id} pools {_nothing(render, pooling, factors)}"
        raise Reject("empty_pooling_mask", detail)
    return Masks(loss, second)


def _nothing(render: Render, policy: Policy, factors: Sequence[Factor]) -> str:
    cut = ", which was cut at max_length" if render["render_options"]["truncated"] else ""
    weighted = " (thinking_weight and messages[].loss applied)" if factors else ""
    return f"no token of this render{cut}; it takes tokens from: {policy.needs}{weighted}"


def _weights(trace: TraceFacts, chosen: Chosen) -> dict[str, Any]:
    """What the masks were multiplied by, as fields of the row: only where it is not 1."""
    fields: dict[str, Any] = {}
    if chosen.thinking_weight != 1:
        fields["thinking_weight"] = chosen.thinking_weight
    if trace.losses:
        fields["message_losses"] = [
            {"message_index": index, "loss": loss} for index, loss in sorted(trace.losses.items())
        ]
    return fields


def lossmask_line(
    render: Render, ids: IdsText, trace: TraceFacts, chosen: Chosen, masks: Masks
) -> bytes:
    """The lossmask_v1 row as a line. Key order is the schema's; the arrays are spliced in as text.

    Args:
        render: The render that the masks belong to.
        ids: Its token ids as text, shared by all masks of the render.
        trace: The trace that was rendered.
        chosen: The policies and weights that the trace has.
        masks: What the policies give for the render.
    """
    policy, pooling, mask = chosen.policy, chosen.pooling, masks.loss
    weight = trace.sample_weight * chosen.class_weight
    weights = _weights(trace, chosen)
    second: dict[str, Any] = {}
    if pooling is not None:
        second = {
            "pooling_policy_id": pooling.id,
            "pooling_policy_version": pooling.version,
            "pooling_policy_params": pooling.params,
        }
    head = {
        "lossmask_id": derived_id(
            "lossmask",
            render["render_id"],
            policy.id,
            policy.version,
            policy.params,
            trace.sample_weight,
            chosen.class_weight,
            *([{**weights, **second}] if weights or second else []),
        ),
        "render_id": render["render_id"],
        "trace_id": trace.id,
        "policy_id": policy.id,
        "policy_version": policy.version,
        "policy_params": policy.params,
        "policy_source": chosen.source,
        **weights,
    }
    tail = {
        "sample_weight": weight,
        "class_weight": chosen.class_weight,
        "zero_weight": weight == 0,
        "stats": {
            "total_tokens": mask.length,
            "masked_tokens": mask.length - mask.trained,
            "unmasked_tokens": mask.trained,
            "mask_ratio": (mask.length - mask.trained) / mask.length if mask.length else 0.0,
        },
        "category": trace.category,
        "class_id": trace.class_id,
        "split": trace.split,
        "pair_id": trace.pair_id,
    }
    extra = b""
    if masks.pooling is not None:
        extra = b',"pooling_mask":%b,%b' % (
            masks.pooling.weights_json(),
            orjson.dumps(second)[1:-1],
        )
    return b'%b,"loss_mask":%b,"labels":%b%b,%b\n' % (
        orjson.dumps(head)[:-1],
        mask.weights_json(),
        mask.labels_json(ids),
        extra,
        orjson.dumps(tail)[1:],
    )
