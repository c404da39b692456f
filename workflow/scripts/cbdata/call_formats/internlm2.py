"""InternLM 2 and 3: one JSON object between ``<|action_start|><|plugin|>`` and
``<|action_end|>``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats.base import NO_TOKENS, Block, CallFormat, Fault, Tokens, View, marker
from cbdata.call_formats.grammars import call_grammar
from cbdata.call_formats.json_calls import Keys, dump
from cbdata.call_formats.marked_json import Markup, marked_blocks
from cbdata.tools import ToolSchema

START, PLUGIN, END = "<|action_start|>", "<|plugin|>", "<|action_end|>"
INTERPRETER = "<|interpreter|>"
KEYS = Keys(arguments="parameters", other_arguments="arguments")
MARKUP = Markup(
    # Without the second marker it is code for the interpreter, or nothing: a fault.
    re.compile(f"{marker(START)}(?:{marker(PLUGIN)})?"),
    re.compile(r"\s*+" + marker(END)),
    "action_start",
    lists=False,
    objects=True,
)


class Internlm2(CallFormat):
    """A call per block, its arguments under ``parameters``; vLLM's template has ``arguments``."""

    name = "internlm2"
    markers = (START, PLUGIN, END, INTERPRETER)
    end_tokens = ("<|im_end|>", "</s>")

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        return marked_blocks(view, start, MARKUP, KEYS)

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return "".join(
            f"{START}{PLUGIN}\n{dump({'name': name, 'parameters': arguments})}{END}"
            for name, arguments in calls
        )

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return call_grammar(tools, "parameters", f"{START}{PLUGIN}\n", END, tokens=tokens)
