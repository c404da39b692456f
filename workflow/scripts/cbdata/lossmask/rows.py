"""One row of a loss mask file."""

from __future__ import annotations

import orjson

from cbdata.ids import derived_id
from cbdata.lossmask.masks import IdsText, Mask, make_mask
from cbdata.lossmask.registry import Policy
from cbdata.lossmask.selection import Chosen
from cbdata.records import Render
from cbdata.rejects import Reject
from cbdata.traces.facts import TraceFacts


def mask_of(render: Render, policy: Policy) -> Mask:
    """The mask that a policy gives for a render.

    Raises:
        Reject: The policy trains no token of this render, and its entry does not allow that.
        SpanError: The render has a span that does not fit its tokens.
    """
    mask = make_mask(render, policy.layers)
    if not mask.trained and not policy.allow_empty:
        cut = ", which was cut at max_length" if render["render_options"]["truncated"] else ""
        raise Reject(
            "empty_mask",
            f"policy {policy.id} trains no token of this render{cut}; it takes tokens from:"
            f" {policy.needs}",
        )
    return mask


def lossmask_line(
    render: Render, ids: IdsText, trace: TraceFacts, chosen: Chosen, mask: Mask
) -> bytes:
    """The lossmask_v1 row as a line. Key order is the schema's; the two arrays are spliced in as
    text.

    Args:
        render: The render that the mask belongs to.
        ids: Its token ids as text, shared by all masks of the render.
        trace: The trace that was rendered.
        chosen: The policy and weight that the trace has.
        mask: What the policy gives for the render.
    """
    policy = chosen.policy
    weight = trace.sample_weight * chosen.class_weight
    head = {
        "lossmask_id": derived_id(
            "lossmask",
            render["render_id"],
            policy.id,
            policy.version,
            policy.params,
            trace.sample_weight,
            chosen.class_weight,
        ),
        "render_id": render["render_id"],
        "trace_id": trace.id,
        "policy_id": policy.id,
        "policy_version": policy.version,
        "policy_params": policy.params,
        "policy_source": chosen.source,
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
    return b'%b,"loss_mask":%b,"labels":%b,%b\n' % (
        orjson.dumps(head)[:-1],
        mask.weights_json(),
        mask.labels_json(ids),
        orjson.dumps(tail)[1:],
    )
