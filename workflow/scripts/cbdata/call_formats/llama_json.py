"""Llama 3.x: JSON objects with ``parameters``, behind ``<|python_tag|>`` or as the whole answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cbdata.call_formats import python_calls
from cbdata.call_formats.bare_json import JOIN, bare_blocks
from cbdata.call_formats.base import (
    MARK,
    NO_TOKENS,
    Block,
    Call,
    CallFormat,
    Fault,
    Tokens,
    View,
    marker,
)
from cbdata.call_formats.grammars import call_grammar
from cbdata.call_formats.json_calls import Keys, dump, read_call
from cbdata.tools import ToolSchema

TAG = "<|python_tag|>"
KEYS = Keys(arguments="parameters", fixed=(("type", "function"),))
_TAG = re.compile(marker(TAG))
_BUILT_IN = ".call"


class LlamaJson(CallFormat):
    """``{"name": ..., "parameters": {...}}``, several joined by ``;``; behind the tag also the form
    of built-in tools, ``name.call(argument="...")``.
    """

    name = "llama_json"
    markers = (TAG,)
    end_tokens = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")
    always_marked = False

    def blocks(self, view: View, start: int, tools: ToolSchema | None) -> list[Block] | Fault:
        """See CallFormat."""
        tag = _TAG.search(view.shape, start)
        if tag is None:
            return bare_blocks(view, start, KEYS)
        found: list[Block] = []
        begin, pos = tag.start(), tag.end()
        while True:
            call = _tagged(view, pos)
            if isinstance(call, Fault):
                return call
            found.append(Block(begin, call.end, (call,)))
            join = JOIN.match(view.text, call.end)
            begin = pos = join.end() if join else call.end
            if again := _TAG.match(view.shape, pos):
                pos = again.end()
            elif not view.text.startswith("{", pos) or view.shape[pos] == MARK:
                return found
            if call.end < begin:
                found.append(Block(call.end, begin))

    def write(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """See CallFormat."""
        return "; ".join(
            f'{{"name": {dump(name)}, "parameters": {dump(arguments)}}}'
            for name, arguments in calls
        )

    def grammar(self, tools: ToolSchema, tokens: Tokens = NO_TOKENS) -> str:
        """See CallFormat."""
        return call_grammar(tools, "parameters", tokens=tokens)


def _tagged(view: View, pos: int) -> Call | Fault:
    """A call behind the tag."""
    start = view.skip_space(pos)
    if view.text.startswith("{", start):
        return read_call(view, start, KEYS, "python_tag")
    call = python_calls.read_call(view, start, "python_tag")
    if isinstance(call, Fault):
        return Fault(start, f"no call behind {TAG}: {call.reason}")
    if not call.name.endswith(_BUILT_IN):
        return Fault(start, f"no call behind {TAG}: neither an object nor name.call(...)")
    return python_calls.renamed(call, len(_BUILT_IN))
