"""The tool schema files, and the script that writes AgentDojo's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import jsonschema_rs
import orjson
import pytest

from cbdata.tools import load_tool_schema

TOOLS = {
    "b4_standard_v1": 8,
    "demo_v1": 3,
    "agentdojo_banking_v1": 11,
    "agentdojo_slack_v1": 11,
    "agentdojo_travel_v1": 28,
    "agentdojo_workspace_v1": 24,
    "agentdyn_dailylife_v1": 27,
    "agentdyn_github_v1": 34,
    "agentdyn_shopping_v1": 39,
}
DIGESTS = {
    "agentdojo_banking_v1": "b103e96e9f47aad0",
    "agentdojo_slack_v1": "9a30700301f96ef0",
    "agentdojo_travel_v1": "53184a1002ae169e",
    "agentdojo_workspace_v1": "b366d358ab6434e2",
    "agentdyn_dailylife_v1": "542be23032bd9ed7",
    "agentdyn_github_v1": "a35afdcdc1426729",
    "agentdyn_shopping_v1": "f4ecb218fa7e1d62",
    "b4_standard_v1": "e900c220cea6b8ef",
    "demo_v1": "89c9a3884c4d3db6",
}


def test_every_file_is_known(repo: Path) -> None:
    assert {path.stem for path in (repo / "configs" / "tool_schemas").glob("*.json")} == set(TOOLS)


@pytest.mark.parametrize("version", TOOLS)
def test_a_file_is_named_by_its_version_and_its_parameters_are_json_schemas(
    repo: Path, version: str
) -> None:
    schema = load_tool_schema(repo / "configs" / "tool_schemas" / f"{version}.json")
    assert (
        schema.version == version and len(schema.tools) == TOOLS[version] and schema.system_prompt
    )
    for tool in schema.tools:
        assert tool["type"] == "function" and tool["function"]["description"]
        jsonschema_rs.validator_for(tool["function"]["parameters"])
        assert tool["function"]["parameters"]["type"] == "object"


def test_published_schemas_do_not_change(repo: Path) -> None:
    """Traces refer to these digests: a change is a new version under a new name."""
    digests = {
        path.stem: load_tool_schema(path).digest[:16]
        for path in (repo / "configs" / "tool_schemas").glob("*.json")
    }
    assert digests == DIGESTS


def test_the_export_script_writes_what_a_model_is_shown(repo: Path) -> None:
    path = repo / "workflow" / "scripts" / "export_agentdojo_tools.py"
    spec = importlib.util.spec_from_file_location("export_agentdojo_tools", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    parameters = {"type": "object", "properties": {"x": {"type": "integer"}}}
    function = SimpleNamespace(
        name="f",
        description="does f",
        parameters=SimpleNamespace(model_json_schema=lambda: parameters),
    )
    schema = script.tool_schema("toy", [function], "prompt", "agentdojo 0")
    assert (
        schema["version"] == "agentdojo_toy_v1"
        and schema["system_prompt"] == "prompt"
        and "agentdojo 0" in schema["comment"]
    )
    other = script.tool_schema("toy", [function], "prompt", "agentdyn 0", "agentdyn")
    assert other["version"] == "agentdyn_toy_v1"
    assert schema["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "does f", "parameters": parameters},
        }
    ]
    written = orjson.loads(
        (repo / "configs" / "tool_schemas" / "agentdojo_slack_v1.json").read_bytes()
    )
    assert set(written) == set(schema)
