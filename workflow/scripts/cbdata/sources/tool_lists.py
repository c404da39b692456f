"""The tools that a raw record offers its model, in the forms that data sets write them, as trace_v1
has them.
"""

from __future__ import annotations

from typing import Any

import orjson

from cbdata.rejects import Reasons, Reject
from cbdata.sources import shown
from cbdata.sources.raw_lines import checked_json
from cbdata.sources.strict_json import AmbiguousJson, strict_loads
from cbdata.tools import tools_fault

REASONS: Reasons = {"bad_tool_list": "the record's list of tools cannot be read"}


def read_tools(value: Any, where: str) -> list[dict[str, Any]]:
    """The tools of a list, as ``{"type": "function", "function": {...}}``.

    Three forms are read, each as a list or as the JSON text of one: this one; that of the Responses
    API, where name, description and parameters stand beside ``type``; and a bare function. What
    else a tool says is kept. ``parameters`` may be JSON text, or null.

    Args:
        value: The list; null, an empty text and an empty list mean that there are no tools.
        where: The field, for errors.

    Raises:
        Reject: ``bad_tool_list``.
    """
    if isinstance(value, str):
        value = _parsed(value, where) if value.strip() else None
    if value is None or value == []:
        return []
    if not isinstance(value, list):
        raise Reject("bad_tool_list", f"{where}: expected a list of tools, got {shown(value)}")
    tools = [
        {"type": "function", "function": _function(tool, f"{where}[{index}]")}
        for index, tool in enumerate(value)
    ]
    if fault := tools_fault(tools):
        at, expected = fault
        raise Reject("bad_tool_list", f"{where}: {at}: expected {expected}")
    return tools


def tools_json(tools: list[dict[str, Any]]) -> bytes:
    """The tools as JSON, keys in the order of the source, since a chat template prints them so.
    Raises Reject (``too_deep``).
    """
    checked_json(tools)
    return orjson.dumps(tools)


def _function(tool: Any, where: str) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise Reject("bad_tool_list", f"{where}: expected an object, got {shown(tool)}")
    kind = tool.get("type", "function")
    function = tool.get("function")
    if function is None:
        # A bare function may have a field called type only if it is that of the Responses API.
        function = {key: value for key, value in tool.items() if key != "type"}
    if kind != "function" or not isinstance(function, dict):
        raise Reject("bad_tool_list", f"{where}: expected a function, got {shown(tool)}")
    function = dict(function)
    parameters = function.get("parameters")
    if isinstance(parameters, str):
        parameters = function["parameters"] = _parsed(parameters, f"{where}.parameters")
    if parameters is None:
        function.pop("parameters", None)
    required = parameters.get("required") if isinstance(parameters, dict) else None
    if required is not None and not (
        isinstance(required, list) and all(isinstance(name, str) for name in required)
    ):
        raise Reject(
            "bad_tool_list",
            f"{where}.parameters.required: expected a list of names, got {shown(required)}",
        )
    return function


def _parsed(text: str, where: str) -> Any:
    try:
        return strict_loads(text.encode())
    except (orjson.JSONDecodeError, AmbiguousJson) as error:
        raise Reject(
            "bad_tool_list", f"{where}: text that is no JSON to rely on ({error}): {shown(text)}"
        ) from error
