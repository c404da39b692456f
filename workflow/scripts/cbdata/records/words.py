"""The fixed words of the data contract: each list once, as a type and as a tuple."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)

Stage = Literal["etl_a", "cut", "fill", "render", "lossmask"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The stages in the order in which a record passes through them."""

STAGE_FOLDERS: dict[Stage, str] = {
    "etl_a": "traces",
    "cut": "traces",
    "fill": "traces",
    "render": "renders",
    "lossmask": "lossmasks",
}
"""The folder of the output structure that a stage's data lie in."""

Mode = Literal["ds", "dr"]
MODES: tuple[Mode, ...] = get_args(Mode)

DsCriterion = Literal["simulated_tool", "any_wrong_tool"]
"""Which wrong tool a DS completion must call."""

DrCriterion = Literal["expected_call", "any_safe_call", "any_safe_answer"]
"""Which answers at a decision point are a DR; see ``cbdata.judge.goal_calls``."""

RefusalRule = Literal["accept", "reject"]
"""Whether a refusal counts as a safe answer."""

BackendName = Literal["vllm", "transformers", "endpoint", "stub"]
BACKEND_NAMES: tuple[BackendName, ...] = get_args(BackendName)
"""What can have written a completion; ``stub`` stands for an engine without a model."""

Category = Literal["harmful", "benign"]
CATEGORIES: tuple[Category, ...] = get_args(Category)

SecurityOutcome = Literal["safe", "unsafe", "refusal", "tool_misuse", "unknown"]

DrContext = Literal["removed", "kept", "restored"]

MatchKind = Literal["equals", "contains", "one_of", "regex", "any"]
"""How an argument of a call is compared; see ``cbdata.decision_points.matching``."""

DecisionKind = Literal["injection", "clean"]
"""Whether a skeleton was cut where an injection is first read, or from a run without one."""

DecisionPrefix = Literal["recorded", "minimal"]
"""Which turns before a decision point its skeleton keeps."""

DecisionPoints = Literal["injection", "every_turn"]
"""Where transcripts are cut: where the injection is first read, or clean runs at every turn too."""

Overlength = Literal["truncate", "reject", "window"]
OVERLENGTHS: tuple[Overlength, ...] = get_args(Overlength)
"""What happens to a render longer than ``max_length``; see ``cbdata.render.overlength``."""

ControlTokenMode = Literal["escape", "reject"]
CONTROL_TOKEN_MODES: tuple[ControlTokenMode, ...] = get_args(ControlTokenMode)
"""What happens to control-token text in contents; see ``cbdata.render.escape``."""

CompletionTokens = Literal["generated", "template"]
COMPLETION_TOKENS: tuple[CompletionTokens, ...] = get_args(CompletionTokens)
"""Whether a completed trace's render ends with the ids that the model wrote, or with the chat
template's print of the completion.
"""

EarlierThinking = Literal["as_template", "reject"]
EARLIER_THINKING: tuple[EarlierThinking, ...] = get_args(EarlierThinking)
"""What happens where the chat template leaves out reasoning of earlier turns."""

RowKind = Literal["conversation", "turn"]
ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)
"""Whether a trace is one render, or one for each of its assistant turns."""

PolicySource = Literal["config", "schedule", "trace", "registry_default", "skeleton_policy"]
"""Which rule chose the policy of a loss mask."""
