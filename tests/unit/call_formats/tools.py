"""Tool schemas for tests that write and read calls."""

from __future__ import annotations

from typing import Any

from cbdata.tools import ToolSchema


def two_tools(properties: dict[str, Any]) -> ToolSchema:
    """``first_tool`` and ``second_tool``, both with these parameters."""
    tools = tuple(
        {
            "type": "function",
            "function": {
                "name": name,
                "parameters": {"type": "object", "properties": properties},
            },
        }
        for name in ("first_tool", "second_tool")
    )
    return ToolSchema("v", tools, None, "0", "tools.json")
