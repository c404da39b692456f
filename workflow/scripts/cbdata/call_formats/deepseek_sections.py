"""DeepSeek's sections of calls: what V3 and V3.1 have in common."""

from __future__ import annotations

import re

from cbdata.call_formats.base import Block, Call, Fault, View, marker
from cbdata.call_formats.json_calls import read_arguments
from cbdata.call_formats.sections import Section, section_blocks

SECTION, SECTION_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, SEPARATOR, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
MARKERS = (SECTION, SECTION_END, CALL, SEPARATOR, CALL_END)
END_TOKENS = ("<｜end▁of▁sentence｜>",)
NAME = r"([^\s<>{}\"'`\ufdd0]++)"
_CALL = re.compile(r"\s*+" + marker(CALL))
_SECTION = Section(
    re.compile(marker(SECTION)), re.compile(r"\s*+" + marker(SECTION_END)), "tool_calls"
)


def deepseek_blocks(
    view: View, start: int, head: re.Pattern[str], tail: re.Pattern[str]
) -> list[Block] | Fault:
    """The calls of every section from ``start`` on.

    Args:
        view: the completion.
        start: where the answer begins.
        head: what stands between a call's marker and its arguments; group 1 is the name.
        tail: what stands behind its arguments, the closing marker included.
    """
    return section_blocks(view, start, _SECTION, lambda view, pos: _call(view, pos, head, tail))


def _call(
    view: View, pos: int, head: re.Pattern[str], tail: re.Pattern[str]
) -> Call | Fault | None:
    """The call whose marker stands at ``pos``."""
    begin = _CALL.match(view.shape, pos)
    if begin is None:
        return None
    name = head.match(view.shape, begin.end())
    if name is None:
        return Fault(begin.end(), f"{CALL} without a name in this model's notation behind it")
    read = read_arguments(view, name.end())
    if isinstance(read, Fault):
        return read
    arguments, end = read
    close = tail.match(view.shape, end)
    if close is None:
        return Fault(end, f"{CALL} that is not closed behind its arguments")
    return Call(
        name=name[1],
        arguments=arguments,
        raw=view.text[begin.end() : end],
        raw_start=begin.end(),
        start=begin.end() - len(CALL),
        end=close.end(),
        name_start=name.start(1),
        name_end=name.end(1),
        form="json",
        markup="tool_calls",
    )
