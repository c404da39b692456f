"""Which policy and which weight a trace gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cbdata.lossmask.policies import ParamsMissing
from cbdata.lossmask.registry import Policy, Registry
from cbdata.records.words import PolicySource
from cbdata.rejects import Reject
from cbdata.traces.facts import TraceFacts


@dataclass(frozen=True)
class PolicyChoice:
    """A policy id with the parameters given beside it."""

    policy: str
    params: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, value: str | Mapping[str, Any] | PolicyChoice) -> PolicyChoice:
        """From an id, or ``{policy, params}``."""
        if isinstance(value, PolicyChoice):
            return value
        return cls(value) if isinstance(value, str) else cls(value["policy"], value.get("params"))


class Chosen(NamedTuple):
    """What a trace gets: its policy, the rule that chose it (``policy_source`` of lossmask_v1), the
    weight of its class at the schedule's step, the weight of its reasoning, and the policy of its
    pooling mask, if it has one.
    """

    policy: Policy
    source: PolicySource
    class_weight: float
    thinking_weight: float = 1.0
    pooling: Policy | None = None


@dataclass(frozen=True)
class Selection:
    """The settings that decide on a trace's policies and weights.

    ``overrides`` and ``class_weights`` are the schedule's at its step, by class id; classes that it
    does not name have ``default_weight``. ``thinking_weight`` and ``pooling_policy`` are those of
    all traces, except that skeletons pool under ``skeleton_policy`` where there is a
    ``pooling_policy`` at all.
    """

    registry: Registry
    policy: PolicyChoice | None
    allow_skeleton: bool
    skeleton_policy: str
    overrides: Mapping[str, PolicyChoice] = field(default_factory=dict)
    class_weights: Mapping[str, float] = field(default_factory=dict)
    default_weight: float = 1.0
    thinking_weight: float = 1.0
    pooling_policy: PolicyChoice | None = None

    def __post_init__(self) -> None:
        """Look every configured policy up now. Raises PolicyError for an unknown one."""
        for choice in (self.policy, self.pooling_policy, *self.overrides.values()):
            if choice is not None:
                self.registry.entry(choice.policy)
                if choice.params is not None:
                    self.registry.bind(choice.policy, choice.params)
        self.registry.entry(self.skeleton_policy)

    def choose(self, trace: TraceFacts) -> Chosen:
        """The policies and weights of a trace, and the rule that chose the policy of its loss mask.

        First match: skeletons get ``skeleton_policy``; the configured policy; the schedule's
        override for the class; the trace's own; the registry's default. ``loss_mask_params`` of the
        trace go with its own policy, whoever named it, unless parameters were given beside the id.

        Raises:
            Reject: The trace is a skeleton and ``allow_skeleton`` is off, or the policy lives by
                parameters and nobody gave any.
            PolicyError: The trace itself names a policy that cannot be used.
        """
        if trace.skeleton:
            if not self.allow_skeleton:
                raise Reject(
                    "skeleton",
                    "the trace is a skeleton without a completion; set allow_skeleton to mask it"
                    " under skeleton_policy",
                )
            return self._bind(PolicyChoice(self.skeleton_policy), trace, "skeleton_policy")
        if self.policy is not None:
            return self._bind(self.policy, trace, "config")
        if (override := self.overrides.get(trace.class_id)) is not None:
            return self._bind(override, trace, "schedule")
        if trace.policy is not None:
            return self._bind(PolicyChoice(trace.policy), trace, "trace")
        return self._bind(PolicyChoice(self.registry.default_policy), trace, "registry_default")

    def _bind(self, choice: PolicyChoice, trace: TraceFacts, source: PolicySource) -> Chosen:
        pooling = choice if trace.skeleton and self.pooling_policy else self.pooling_policy
        return Chosen(
            self._policy(choice, trace),
            source,
            self.class_weights.get(trace.class_id, self.default_weight),
            self.thinking_weight,
            None if pooling is None else self._policy(pooling, trace),
        )

    def _policy(self, choice: PolicyChoice, trace: TraceFacts) -> Policy:
        params = choice.params
        if params is None and choice.policy == trace.policy:
            params = trace.params
        try:
            return self.registry.bind(choice.policy, params)
        except ParamsMissing as error:
            raise Reject("policy_params_missing", str(error)) from error
