"""Why the loss mask stage rejects a render."""

from __future__ import annotations

from cbdata.rejects import Hints, Reasons

REASONS: Reasons = {
    "skeleton": "the trace has no completion, and allow_skeleton is false",
    "policy_params_missing": "the policy takes its parameters from the trace, which has none",
    "empty_mask": "the policy trains no token of this render",
    "empty_pooling_mask": "the pooling policy takes no token of this render",
}

HINTS: Hints = {
    "skeleton": "set allow_skeleton=true to keep traces without a completion",
    "policy_params_missing": "set policy={policy: ..., params: {...}}, or another policy",
    "empty_mask": (
        "raise max_length if rows are cut before what the policy trains; else set another policy"
        " (docs/policies.md)"
    ),
    "empty_pooling_mask": "raise max_length if rows are cut; else set another pooling_policy",
}
"""What to set where a reason is frequent."""
