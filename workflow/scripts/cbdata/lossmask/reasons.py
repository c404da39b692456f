"""Why the loss mask stage rejects a render."""

from __future__ import annotations

from cbdata.rejects import Reasons

REASONS: Reasons = {
    "skeleton": "the trace has no completion, and allow_skeleton is false",
    "policy_params_missing": "the policy takes its parameters from the trace, which has none",
    "empty_mask": "the policy trains no token of this render",
    "empty_pooling_mask": "the pooling policy takes no token of this render",
}
