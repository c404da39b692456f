"""Where the workflow's own files lie. Nothing here depends on the working directory.

Only folders and files of ``configs`` are named here. A schema is named by the module that reads it,
because the name of a schema in a module makes the schema part of that module's code digest.
"""

from __future__ import annotations

from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
"""``workflow/scripts``: the scripts of the rules, with this library beside them."""

ROOT = SCRIPTS.parents[1]
"""The root of the checkout."""

SCHEMAS = ROOT / "workflow" / "schemas"

CONFIGS = ROOT / "configs"
CHAT_TEMPLATES = CONFIGS / "chat_templates"
SCHEDULES = CONFIGS / "mwcs"
TOOL_SCHEMAS = CONFIGS / "tool_schemas"
POLICY_REGISTRY = CONFIGS / "lmp_registry_v1.json"

CONFIG_README = ROOT / "config" / "README.md"
