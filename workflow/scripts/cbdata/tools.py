"""Tool schemas (``configs/tool_schemas/*.json``): the tools a model may call, with the system
prompt that goes with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from cbdata.ids import digest

if TYPE_CHECKING:
    from cbdata.records import ToolSchemaRef

INLINE = "inline"
"""What stands for the version of tools that lie in the trace itself."""


class ToolSchemaError(ValueError):
    """A tool schema file cannot be used: names the file, the place, what was expected and
    a hint.
    """


class ToolList(tuple[dict[str, Any], ...]):
    """Tools that nobody changes and that many conversations show. ``memo`` is for what is worked
    out of them, so that this is done once and not for every conversation.
    """

    memo: dict[Any, Any]

    def __new__(cls, tools: Iterable[dict[str, Any]]) -> ToolList:
        made = super().__new__(cls, tools)
        made.memo = {}
        return made


@dataclass(frozen=True)
class ToolSchema:
    """A versioned list of tools in the OpenAI form ``{"type": "function", "function": {name,
    description, parameters}}``.
    """

    version: str
    tools: tuple[dict[str, Any], ...]
    system_prompt: str | None
    digest: str
    path: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Tool names in file order."""
        return tuple(tool["function"]["name"] for tool in self.tools)

    @cached_property
    def shared(self) -> ToolList:
        """The same tools, for those who show them in many conversations."""
        return ToolList(self.tools)

    def parameters(self, name: str) -> dict[str, Any] | None:
        """The JSON Schema of a tool's arguments, or None for an unknown tool."""
        for tool in self.tools:
            if tool["function"]["name"] == name:
                return tool["function"].get("parameters") or {"type": "object"}
        return None

    @property
    def ref(self) -> ToolSchemaRef:
        """What a trace stores of it."""
        return {"version": self.version, "digest": self.digest}


def load_tool_schema(path: str | Path) -> ToolSchema:
    """Read and check a tool schema file.

    The digest is taken over version, tools and system prompt, so comments in the file do not count.
    Raises ToolSchemaError.
    """
    path = Path(path)

    def fail(where: str, expected: str) -> ToolSchemaError:
        return ToolSchemaError(
            f"{path}: {where}: expected {expected}. Hint: see configs/tool_schemas/README.md for"
            " the form of the file"
        )

    try:
        data = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ToolSchemaError(
            f"tool schema {path} does not exist. Hint: set tool_schema to a file in"
            " configs/tool_schemas"
        ) from error
    except orjson.JSONDecodeError as error:
        raise fail(f"not JSON ({error})", "a JSON object") from error
    if not isinstance(data, dict):
        raise fail("top level", "an object")
    version, tools, prompt = data.get("version"), data.get("tools"), data.get("system_prompt")
    if not isinstance(version, str) or not version:
        raise fail("version", "a non-empty string")
    if prompt is not None and not isinstance(prompt, str):
        raise fail("system_prompt", "a string")
    fault = tools_fault(tools)
    if fault or tools is None:
        raise fail(*(fault or ("tools", "a list")))
    return ToolSchema(
        version,
        tuple(tools),
        prompt,
        digest({"version": version, "tools": tools, "system_prompt": prompt}),
        str(path),
    )


def own_tools(tools: list[dict[str, Any]]) -> ToolSchema:
    """The tools that a trace carries itself (``tools`` of trace_v1). Raises ToolSchemaError."""
    if fault := tools_fault(tools):
        where, expected = fault
        raise ToolSchemaError(f"the trace's own {where}: expected {expected}")
    # The text with its order of keys, which a chat template prints.
    shown = digest({"tools": orjson.dumps(tools).decode()})
    return ToolSchema(INLINE, tuple(tools), None, shown, "the trace's own tools")


def tools_fault(tools: Any) -> tuple[str, str] | None:
    """What is wrong with a list of tools: the place, and what was expected there."""
    if not isinstance(tools, list) or not tools:
        return "tools", "a non-empty list"
    names: set[str] = set()
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if (
            not isinstance(function, dict)
            or not isinstance(function.get("name"), str)
            or not function["name"]
        ):
            return (
                f"tools[{index}]",
                (
                    '{"type": "function", "function": {"name": ..., "description": ...,'
                    ' "parameters": ...}}'
                ),
            )
        if function["name"] in names:
            return f"tools[{index}]", f"a name of its own, {function['name']!r} is there twice"
        names.add(function["name"])
        if not isinstance(function.get("parameters", {}), dict):
            return f"tools[{index}].function.parameters", "a JSON Schema object"
    return None
