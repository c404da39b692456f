"""The demo's own records: what they are there to show."""

from __future__ import annotations

from pathlib import Path

import orjson

from cbdata.sources import agentdojo, fujitsu_b4
from tests.unit.sources.conversion import outputs, read_back


def test_demo_b4_records(repo: Path, tmp_path: Path) -> None:
    raw = repo / "config" / "demo" / "fujitsu_b4.jsonl"
    fujitsu_b4.convert(
        [raw],
        tool_schemas=[repo / "configs" / "tool_schemas" / "demo_v1.json"],
        split="train",
        outputs=outputs(tmp_path),
        max_reject_fraction=0.5,
    )
    done = read_back(tmp_path)
    assert done.counts == (44, 41, 2, 1)
    assert done.stats["rejected_by_reason"] == {"no_attack": 1, "not_json": 1}
    assert done.stats["details"]["record_flags"] == {
        "equal_tools": 2,
        "injection_differs": 1,
        "injection_empty": 1,
        "injection_from_difference": 1,
        "injection_not_found": 1,
        "record_id_repeated": 2,
        "success_false": 1,
        "unknown_simulated_tool": 1,
    }
    clean = [trace for trace in done.traces if "record_flags" not in trace["signal_hints"]]
    assert len(clean) == 33
    assert set(fujitsu_b4.FIELD_TYPES) == set(orjson.loads(raw.read_bytes().splitlines()[0]))


def test_demo_agentdojo_records(repo: Path, tmp_path: Path) -> None:
    raw = repo / "config" / "demo" / "agentdojo.jsonl"
    agentdojo.convert(
        [raw],
        tool_schemas=[],
        split="train",
        outputs=outputs(tmp_path),
        max_reject_fraction=0.5,
    )
    done = read_back(tmp_path)
    assert done.counts == (9, 7, 1, 1) and done.stats["counts"]["headers"] == 1
    assert done.stats["details"]["classes"] == {
        "agentdojo/benign": 4,
        "agentdojo/injection_resisted": 1,
        "agentdojo/injection_succeeded": 1,
        "agentdojo/injection_unseen": 1,
    }
    assert done.stats["details"]["completeness"] == {"complete": 6, "skeleton": 1}
