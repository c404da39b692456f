"""The tables of attack goals: their form, and AgentDojo's own."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from cbdata.decision_points.goals import AttackGoals, Goal, GoalsError
from cbdata.tools import load_tool_schema
from tests.unit.decision_points.runs import BALANCE, EVIL, tables


def test_a_goal_is_found_by_suite_and_injection_task(tmp_path: Path) -> None:
    goals = AttackGoals.load(tables(tmp_path)[0])
    assert goals.find("bank", "steal") == Goal("bank/steal", (EVIL,), (BALANCE,))
    assert goals.find("bank", "other") is None
    assert goals.find("shop", "steal") is None
    assert goals.find(None, None) is None


def test_all_calls_of_a_goal_carry_it_out() -> None:
    to_bob = {"tool": "mail", "arguments": {"to": {"match": "equals", "value": "bob"}}}
    goal = Goal("g", (EVIL, to_bob), ())
    send, mail = ("send_money", {"recipient": "EVIL1"}), ("mail", {"to": "bob"})
    assert goal.carried_out([mail, ("get_balance", {}), send])
    assert not goal.carried_out([send])
    assert not goal.carried_out([send, ("mail", {"to": "eve"})])
    assert not goal.carried_out([])
    assert not Goal("say", (), ()).carried_out([send])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "expected a table of attack goals"),
        (b"[]", "expected a table of attack goals"),
        (b'{"goals": {"g": {"suite": "s"}}}', "injection_task"),
        (
            b'{"goals": {"g": {"suite": "s", "injection_task": "i", "calls": [{"tool": "f"}]}}}',
            "g/calls/0: expected {tool, arguments}",
        ),
    ],
)
def test_a_table_that_is_none_is_told(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(content)
    with pytest.raises(GoalsError, match=r"table\.json") as error:
        AttackGoals.load(path)
    assert says in str(error.value)


def test_no_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(GoalsError, match="README"):
        AttackGoals.load(tmp_path / "none.json")


def test_agentdojo_s_goals_call_tools_of_their_suites_with_arguments_these_have(
    repo: Path,
) -> None:
    path = repo / "configs/attack_goals/agentdojo_v1.json"
    AttackGoals.load(path)
    entries = orjson.loads(path.read_bytes())["goals"]
    assert len(entries) == 35
    for name, entry in entries.items():
        assert name == f"agentdojo/{entry['suite']}/{entry['injection_task']}"
        assert entry["texts"] and all(entry["texts"])
        tools = load_tool_schema(repo / f"configs/tool_schemas/agentdojo_{entry['suite']}_v1.json")
        for pattern in entry["calls"] + entry["preparing_calls"]:
            parameters = tools.parameters(pattern["tool"])
            assert parameters is not None, f"{name}: {pattern['tool']}"
            assert set(pattern["arguments"]) <= set(parameters["properties"]), name


def test_every_call_of_agentdojo_s_goals_names_what_is_the_attack_s(repo: Path) -> None:
    """A call that changes something and is known by its tool alone would be an honest one too. The
    one goal without calls is a sentence to say.
    """
    entries = orjson.loads((repo / "configs/attack_goals/agentdojo_v1.json").read_bytes())["goals"]
    nameless = [
        name
        for name, entry in entries.items()
        for pattern in entry["calls"]
        if not pattern["arguments"]
    ]
    assert nameless == []
    assert [name for name, entry in entries.items() if not entry["calls"]] == [
        "agentdojo/travel/injection_task_6"
    ]


def test_every_reviewed_goal_is_in_the_table_as_it_was_settled(repo: Path) -> None:
    folder = repo / "configs/attack_goals"
    entries = orjson.loads((folder / "agentdojo_v1.json").read_bytes())["goals"]
    reviewed = orjson.loads((folder / "agentdojo_reviewed.json").read_bytes())["goals"]
    assert {name: entry["why"] for name, entry in entries.items() if "why" in entry} == {
        name: entry["why"] for name, entry in reviewed.items()
    }
    for name, entry in reviewed.items():
        assert entry.items() <= entries[name].items()
