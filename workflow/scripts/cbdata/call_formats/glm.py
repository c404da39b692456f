"""GLM 4.5 and later: the name, then ``<arg_key>`` and ``<arg_value>`` in turn, in a
``<tool_call>``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import MARK, Block, CallFormat, Fault, View, in_shape, marker
from cbdata.call_formats.json_calls import dump
from cbdata.call_formats.reasoning import THINK
from cbdata.call_formats.tagged_values import Tags, read_blocks
from cbdata.tools import ToolSchema

OPEN, CLOSE = "<tool_call>", "</tool_call>"
KEY, KEY_END = "<arg_key>", "</arg_key>"
VALUE, VALUE_END = "<arg_value>", "</arg_value>"
# A name is followed by an argument or by the end of the call; others' objects are not names.
_OPEN = re.compile(marker(OPEN) + r"(?:\s*+([^\s<>{}()\"'" + MARK + r"]++)(?=\s*+" + MARK + "))?")
TAGS = Tags(
    argument=re.compile(rf"\s*+{marker(KEY)}([^\s<>{MARK}]++){marker(KEY_END)}\s*+{marker(VALUE)}"),
    argument_end=in_shape(VALUE_END),
    close=re.compile(r"\s*+" + marker(CLOSE)),
    markup="tool_call",
)
_CLOSED_BEFORE = re.compile(r"\s*+(" + marker(THINK.closing) + ")")


class Glm(CallFormat):
    """A call per block; a value is text where the tool's schema says string, else JSON."""

    name = "glm"
    markers = (OPEN, CLOSE, KEY, KEY_END, VALUE, VALUE_END)
    end_tokens = ("<|observation|>", "<|user|>", "<|endoftext|>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        found = read_blocks(view, start, _OPEN, TAGS, tools)
        # GLM 4.7 without reasoning begins its turn with the closing marker alone.
        closed = _CLOSED_BEFORE.match(view.shape) if start == 0 else None
        if closed is None or isinstance(found, Fault):
            return found
        return [Block(closed.start(1), closed.end(1)), *found]

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return "\n".join(
            f"{OPEN}{name}\n"
            + "".join(
                f"{KEY}{key}{KEY_END}\n"
                f"{VALUE}{value if isinstance(value, str) else dump(value)}{VALUE_END}\n"
                for key, value in arguments.items()
            )
            + CLOSE
            for name, arguments in calls
        )
