"""Tool schemas for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson


def own_tool(name: str, **properties: dict[str, Any]) -> dict[str, Any]:
    """A tool as a trace carries it; all its parameters are required."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Does {name}.",
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": sorted(properties),
            },
        },
    }


def schema_file(folder: Path, version: str, tool: str | None = None) -> Path:
    """A tool schema file with one tool, ``tool_of_{version}`` by default."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{version}.json"
    content = {"version": version, "tools": [own_tool(tool or f"tool_of_{version}")]}
    path.write_bytes(orjson.dumps(content))
    return path
