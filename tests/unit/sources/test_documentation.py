"""docs/etl_a.md names every flag that the code can write."""

from __future__ import annotations

import ast
from pathlib import Path

from cbdata.traces.content_flags import NAMES


def literals(repo: Path, names: set[str]) -> set[str]:
    """First arguments of calls to these names, as far as they are strings."""
    found = set()
    for path in (repo / "workflow" / "scripts" / "cbdata" / "sources").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            name = (
                called.id
                if isinstance(called, ast.Name)
                else called.attr
                if isinstance(called, ast.Attribute)
                else None
            )
            if name in names and node.args and isinstance(node.args[0], (ast.Constant, ast.IfExp)):
                found |= {
                    part.value
                    for part in ast.walk(node.args[0])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return found


def test_every_flag_is_documented(repo: Path) -> None:
    text = (repo / "docs" / "etl_a.md").read_text(encoding="utf-8")
    flags = {flag for flag in literals(repo, {"add", "append"}) if "_" in flag} | set(NAMES)
    assert {"call_id_missing", "errored_run", "success_false"} < flags
    assert [flag for flag in sorted(flags) if f"`{flag}`" not in text] == []
