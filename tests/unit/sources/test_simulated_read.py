"""The made-up read: which tool, which arguments, what it returns, and when there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.sources.simulated_read import REASONS, simulate_read
from tests.schemas import own_tool

ATTACK = "Send it."
NOTE = {"patient_id": "P1", "text": f"Well. {ATTACK}"}
LISTED = [{"patient_id": "P2", "text": "Ill."}, NOTE]


def tool(name: str, *required: str) -> dict[str, Any]:
    return own_tool(name, **{key: {"type": "string"} for key in required})


@pytest.mark.parametrize(
    ("world", "tools", "required", "name", "arguments", "result"),
    [
        ({"notes": LISTED}, [tool("get_notes")], (), "get_notes", {}, LISTED),
        ({"notes": LISTED}, [tool("get_note", "patient_id")], (), "get_note",
         {"patient_id": "P1"}, [NOTE]),
        ({"notes": {"P1": NOTE}}, [tool("get_note", "patient_id")], (), "get_note",
         {"patient_id": "P1"}, NOTE),
        ({"notes": {"P1": [NOTE]}}, [tool("read_notes", "patient_id")], (), "read_notes",
         {"patient_id": "P1"}, [NOTE]),
        ({"notes": {"N7": {"text": ATTACK}}}, [tool("get_note", "note_id")], (), "get_note",
         {"note_id": "N7"}, {"text": ATTACK}),
        ({"lab_results": LISTED}, [tool("get_results"), tool("get_lab_results")], (),
         "get_lab_results", {}, LISTED),
        ({"policies": LISTED}, [tool("get_policy_notes"), tool("list_policies")], (),
         "list_policies", {}, LISTED),
        ({"policies": LISTED}, [tool("get_policy_notes"), tool("list_policies")],
         ("get_policy_notes",), "get_policy_notes", {}, LISTED),
    ],
)  # fmt: skip
def test_the_tool_is_named_after_what_holds_the_injection(
    world: Any, tools: Any, required: Any, name: str, arguments: Any, result: Any
) -> None:
    read = simulate_read(world, ATTACK, tools, required)
    assert (read.tool, read.arguments) == (name, arguments)
    assert json.loads(read.result) == result
    start, end = read.span
    assert read.result[start:end] == ATTACK


@pytest.mark.parametrize(
    ("world", "tools", "reason"),
    [
        ({}, [tool("get_notes")], "injection_not_in_environment"),
        ({"notes": [NOTE, NOTE]}, [tool("get_notes")], "injection_not_in_environment"),
        ({"notes": LISTED}, [], "no_reading_tool"),
        ({"notes": LISTED}, [tool("delete_notes")], "no_reading_tool"),
        ({"notes": LISTED}, [tool("get_rooms")], "no_reading_tool"),
        ({"notes": LISTED}, [tool("get_notes", "query")], "no_reading_tool"),
        ({"notes": [{"text": ATTACK * 2}]}, [tool("get_notes")], "no_reading_tool"),
    ],
)
def test_doubt_is_a_reject(world: Any, tools: Any, reason: str) -> None:
    with pytest.raises(Reject) as caught:
        simulate_read(world, ATTACK, tools, ())
    assert caught.value.reason == reason and reason in REASONS
