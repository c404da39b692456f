"""Which policy and which weight a trace gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cbdata.lossmask.registry import Policy, Registry
from cbdata.traces.facts import TraceFacts


class SkeletonNotAllowed(ValueError):
    """A trace holds no completion, and ``allow_skeleton`` is off."""


@dataclass(frozen=True)
class Choice:
    """A policy id with the parameters given beside it."""

    policy: str
    params: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, value: str | Mapping[str, Any] | Choice) -> Choice:
        """From an id, or ``{policy, params}``."""
        if isinstance(value, Choice):
            return value
        return cls(value) if isinstance(value, str) else cls(value["policy"], value.get("params"))


@dataclass(frozen=True)
class Selection:
    """The settings that decide on a trace's policy and class weight.

    ``overrides`` and ``class_weights`` are the schedule's at its step, by class id; classes that it
    does not name have ``default_weight``.
    """

    registry: Registry
    policy: Choice | None = None
    overrides: Mapping[str, Choice] = field(default_factory=dict)
    class_weights: Mapping[str, float] = field(default_factory=dict)
    default_weight: float = 1.0
    allow_skeleton: bool = False
    skeleton_policy: str = "full_sequence"

    def __post_init__(self) -> None:
        """Look every configured policy up now. Raises PolicyError for an unknown one."""
        for choice in (self.policy, *self.overrides.values()):
            if choice is not None:
                self.registry.entry(choice.policy)
                if choice.params is not None:
                    self.registry.bind(choice.policy, choice.params)
        self.registry.entry(self.skeleton_policy)

    def choose(self, trace: TraceFacts) -> tuple[Policy, str]:
        """The policy of a trace and the rule that chose it (``policy_source`` of lossmask_v1).

        First match: skeletons get ``skeleton_policy``; the configured policy; the schedule's
        override for the class; the trace's own; the registry's default. ``loss_mask_params`` of the
        trace go with its own policy, whoever named it, unless parameters were given beside the id.
        Raises SkeletonNotAllowed, PolicyError for what the trace itself names, and ParamsMissing.
        """
        if trace.skeleton:
            if not self.allow_skeleton:
                raise SkeletonNotAllowed(
                    "the trace is a skeleton without a completion; set allow_skeleton to mask it"
                    " under skeleton_policy"
                )
            return self._bind(Choice(self.skeleton_policy), trace), "skeleton_policy"
        if self.policy is not None:
            return self._bind(self.policy, trace), "config"
        if (override := self.overrides.get(trace.class_id)) is not None:
            return self._bind(override, trace), "schedule"
        if trace.policy is not None:
            return self._bind(Choice(trace.policy), trace), "trace"
        return self._bind(Choice(self.registry.default_policy), trace), "registry_default"

    def class_weight(self, class_id: str) -> float:
        """The weight of a class at the schedule's step."""
        return self.class_weights.get(class_id, self.default_weight)

    def _bind(self, choice: Choice, trace: TraceFacts) -> Policy:
        params = choice.params
        if params is None and choice.policy == trace.policy:
            params = trace.params
        return self.registry.bind(choice.policy, params)
