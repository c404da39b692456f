"""Lists of tools in every form, and what is no such list."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from cbdata.rejects import Reject
from cbdata.sources.tool_lists import REASONS, read_tools, tools_json
from tests.schemas import own_tool

WEATHER = own_tool("weather", city={"type": "string"})
FUNCTION = WEATHER["function"]
AS_TEXT = FUNCTION | {"parameters": orjson.dumps(FUNCTION["parameters"]).decode()}


@pytest.mark.parametrize(
    "value",
    [
        [WEATHER],
        orjson.dumps([WEATHER]).decode(),
        [FUNCTION],
        [{"type": "function", **FUNCTION}],
        [{"type": "function", "function": AS_TEXT}],
        [AS_TEXT],
    ],
)
def test_every_form_is_the_openai_form(value: Any) -> None:
    before = orjson.dumps(value)
    assert read_tools(value, "tools") == [WEATHER]
    assert orjson.dumps(value) == before


@pytest.mark.parametrize("value", [None, "", "  ", [], "[]", "null"])
def test_no_tools_are_no_tools(value: Any) -> None:
    assert read_tools(value, "tools") == []


def test_what_else_a_tool_says_is_kept_and_null_parameters_are_none() -> None:
    (tool,) = read_tools([FUNCTION | {"strict": True, "parameters": None}], "tools")
    assert tool["function"]["strict"] is True and "parameters" not in tool["function"]


@pytest.mark.parametrize(
    "value",
    [
        "no json",
        {"name": "x"},
        7,
        [3],
        [{"type": "web_search"}],
        [{"type": "function", "function": 3}],
        [{"type": "function", "function": {}}],
        [{"name": ""}],
        [FUNCTION | {"parameters": "no json"}],
        [FUNCTION | {"parameters": [1]}],
        [WEATHER, WEATHER],
        [FUNCTION | {"parameters": {"type": "object", "required": 3}}],
        [FUNCTION | {"parameters": {"type": "object", "required": ["city", []]}}],
        '[{"name": "f", "name": "g"}]',
    ],
)
def test_what_is_no_list_of_tools_is_a_reject(value: Any) -> None:
    with pytest.raises(Reject) as caught:
        read_tools(value, "tools")
    assert caught.value.reason in REASONS and "tools" in caught.value.detail


def test_keys_stay_in_the_order_in_which_a_template_will_print_them() -> None:
    tools = [{"type": "function", "function": {"name": "z", "description": "d", "a": 1}}]
    assert tools_json(read_tools(tools, "tools")) == orjson.dumps(tools)
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(Reject) as caught:
        tools_json([{"type": "function", "function": {"name": "z", "parameters": {"a": deep}}}])
    assert caught.value.reason == "too_deep"
