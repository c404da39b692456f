"""What a loss mask file depends on beside renders and traces, and what follows from it for every
trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cbdata.lossmask.policies import weight_in_range
from cbdata.lossmask.registry import load_registry
from cbdata.lossmask.selection import PolicyChoice, Selection
from cbdata.paths import POLICY_REGISTRY


class LossmaskError(ValueError):
    """A record or a setting makes the stage stop: names the files, the record and a hint."""


@dataclass(frozen=True)
class LossmaskSettings:
    """The settings that decide the masks and weights; keys and meanings are the configuration's.

    Attributes:
        policy: The policy of every trace, an id or ``{policy, params}``; None follows the
            schedule, the trace and the registry's default.
        mwcs_schedule: A schedule file, or None.
        mwcs_step: The training step at which the schedule is evaluated; None is step 0.
        allow_skeleton: Mask skeletons under ``skeleton_policy``, instead of rejecting them.
        skeleton_policy: The policy of skeletons.
        thinking_weight: What the weight of reasoning is multiplied by under every policy, in
            [0, 1].
        pooling_policy: The policy of a second mask in every row, in the form of ``policy``; None
            leaves that mask out.
        mixture: With a schedule, the class count file over all input traces
            (``cbdata.mwcs.mixture``), against which the schedule's classes are checked.
        registry: The file of policies.
        reject_limit: The largest part of the renders, 0 to 1, that may be rejected before
            the stage fails as a whole. It holds for one policy setting; where every policy is
            applied in one pass, some of them have nothing to train in some data.
    """

    policy: str | Mapping[str, Any] | None
    mwcs_schedule: str | Path | None
    mwcs_step: int | None
    allow_skeleton: bool
    skeleton_policy: str
    thinking_weight: float
    pooling_policy: str | Mapping[str, Any] | None
    mixture: str | Path | None = None
    registry: str | Path = POLICY_REGISTRY
    reject_limit: float = 1.0


def make_selection(settings: LossmaskSettings) -> tuple[Selection, dict[str, Any]]:
    """Look up and check everything that the settings name.

    Returns:
        What chooses policy and weight of each trace, and what the stats say about the schedule.

    Raises:
        PolicyError: A policy, its parameters or the registry cannot be used.
        ScheduleError: The schedule cannot be used, or does not fit the classes of the traces.
        LossmaskError: A schedule was given without class counts.
    """
    choice = None if settings.policy is None else PolicyChoice.of(settings.policy)
    registry = load_registry(settings.registry)
    pooling = settings.pooling_policy
    plain = Selection(
        registry,
        choice,
        settings.allow_skeleton,
        settings.skeleton_policy,
        thinking_weight=weight_in_range(settings.thinking_weight, "thinking_weight"),
        pooling_policy=None if pooling is None else PolicyChoice.of(pooling),
    )
    if settings.mwcs_schedule is None:
        return plain, {}
    from cbdata.mwcs.mixture import mixture_shares, read_mixture
    from cbdata.mwcs.schedule import load_schedule

    if settings.mixture is None:
        raise LossmaskError(
            f"schedule {settings.mwcs_schedule}: its classes cannot be checked without the class"
            " counts of the input traces"
        )
    schedule, classes = load_schedule(settings.mwcs_schedule), read_mixture(settings.mixture)
    schedule.check_classes(classes)
    step = settings.mwcs_step or 0
    weights = schedule.weights(step)
    overrides = schedule.lmp_overrides(step).items()
    selection = replace(
        plain,
        overrides={class_id: PolicyChoice.of(override) for class_id, override in overrides},
        class_weights=weights,
        default_weight=schedule.default_weight,
    )
    shares = mixture_shares(classes, weights, schedule.default_weight)
    return selection, {
        "mwcs": {
            "schedule": schedule.name,
            "step": step,
            "phase": schedule.phase_at(step),
            "mixture": shares,
        }
    }
