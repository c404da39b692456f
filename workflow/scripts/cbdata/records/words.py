"""The fixed words of the data contract: each list once, as a type and as a tuple."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)

Stage = Literal["etl_a", "fill", "render", "lossmask"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The stages in the order in which a record passes through them."""

Mode = Literal["ds", "dr"]
MODES: tuple[Mode, ...] = get_args(Mode)

Category = Literal["harmful", "benign"]
CATEGORIES: tuple[Category, ...] = get_args(Category)

SecurityOutcome = Literal["safe", "unsafe", "refusal", "tool_misuse", "unknown"]

DrContext = Literal["removed", "kept"]

Overlength = Literal["truncate", "reject", "window"]
"""What happens to a render longer than ``max_length``; see ``cbdata.render.overlength``."""

ControlTokenMode = Literal["escape", "reject"]
"""What happens to control-token text in contents; see ``cbdata.render.escape``."""

PolicySource = Literal["config", "schedule", "trace", "registry_default", "skeleton_policy"]
"""Which rule chose the policy of a loss mask."""
