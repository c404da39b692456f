"""Where the workflow's own files lie. Nothing here depends on the working directory.

No schema is named here, not even as a word of its own ("mwcs"): that would make the schema part of
the code digest of every rule.
"""

from __future__ import annotations

from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
"""``workflow/scripts``: the scripts of the rules, with this library beside them."""

ROOT = SCRIPTS.parents[1]
"""The root of the checkout."""

SCHEMAS = ROOT / "workflow/schemas"

CHAT_TEMPLATES = ROOT / "configs/chat_templates"
SCHEDULES = ROOT / "configs/mwcs"
TOOL_SCHEMAS = ROOT / "configs/tool_schemas"
ATTACK_GOALS = ROOT / "configs/attack_goals"
INJECTION_DEFAULTS = ROOT / "configs/injection_defaults"
POLICY_REGISTRY = ROOT / "configs/lmp_registry_v1.json"

CONFIG_README = ROOT / "config/README.md"
