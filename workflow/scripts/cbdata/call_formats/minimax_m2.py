"""MiniMax M2: ``<invoke>`` with ``<parameter>`` per argument, in one ``<minimax:tool_call>``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import Block, Call, CallFormat, Fault, View, in_shape, marker
from cbdata.call_formats.json_calls import dump
from cbdata.call_formats.sections import Section, section_blocks
from cbdata.call_formats.tagged_values import Tags, read_call
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<minimax:tool_call>", "</minimax:tool_call>"
INVOKE, INVOKE_END = "<invoke name=", "</invoke>"
PARAMETER, PARAMETER_END = "<parameter name=", "</parameter>"
_NAME = r"\"([^<>{}\s\"']++)\">"
_SECTION = Section(
    re.compile(marker(OPEN)), re.compile(r"\s*+" + marker(CLOSE)), "minimax:tool_call"
)
_INVOKE = re.compile(r"\s*+" + marker(INVOKE) + _NAME)
TAGS = Tags(
    argument=re.compile(r"\s*+" + marker(PARAMETER) + _NAME),
    argument_end=in_shape(PARAMETER_END),
    close=re.compile(r"\s*+" + marker(INVOKE_END)),
    markup="minimax:tool_call",
)


class MinimaxM2(CallFormat):
    """Calls in one block; a value is text where the tool's schema says string, else JSON."""

    name = "minimax_m2"
    markers = (OPEN, CLOSE, INVOKE, INVOKE_END, PARAMETER, PARAMETER_END)
    end_tokens = ("[e~[",)

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""

        def read_next(view: View, pos: int) -> Call | Fault | None:
            invoke = _INVOKE.match(view.shape, pos)
            return read_call(view, invoke, TAGS, tools) if invoke else None

        return section_blocks(view, start, _SECTION, read_next)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        invoked = "".join(
            f'{INVOKE}"{name}">\n'
            + "".join(
                f'{PARAMETER}"{key}">{value if isinstance(value, str) else dump(value)}'
                f"{PARAMETER_END}\n"
                for key, value in arguments.items()
            )
            + f"{INVOKE_END}\n"
            for name, arguments in calls
        )
        return f"{OPEN}\n{invoked}{CLOSE}"
