"""How tables of AgentDojo's package are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cbdata.decision_points import export_table


def test_a_table_has_what_was_collected_and_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agentdojo_reviewed.json").write_text('{"goals": {"a": 2}}')
    monkeypatch.setattr("sys.argv", ["export_it.py", "--out", str(tmp_path)])
    monkeypatch.setattr(export_table, "version", lambda package: f"{package} 9")
    export_table.write_table(
        "scripts/export_it.py",
        "Help.",
        "nowhere",
        "goals",
        lambda versions: {"a": 1, "last": versions[-1]},
        lambda collected, reviewed: collected | reviewed,
    )
    table = json.loads((tmp_path / "agentdojo_v1.json").read_text())
    assert table["version"] == "agentdojo_v1"
    assert table["goals"] == {"a": 2, "last": "v1.2.2"}
    assert "workflow/scripts/export_it.py from agentdojo agentdojo 9" in table["comment"]
