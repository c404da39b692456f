"""``<function=name>`` with a ``<parameter=name>`` per argument, in a block: what Qwen's and
Seed-OSS's notations have in common.
"""

from __future__ import annotations

import re

from cbdata.call_formats.base import in_shape, marker
from cbdata.call_formats.literals import JSON, Dialect
from cbdata.call_formats.tagged_values import Tags

FUNCTION, FUNCTION_END = "<function=", "</function>"
PARAMETER, PARAMETER_END = "<parameter=", "</parameter>"
MARKERS = (FUNCTION, FUNCTION_END, PARAMETER, PARAMETER_END)
_NAME = r"([^<>={}\s\"']++)>"


def block_opening(block: str) -> re.Pattern[str]:
    """Match a block's marker and, where one follows, a function with its name as group 1."""
    return re.compile(marker(block) + r"(?:\s*+" + marker(FUNCTION) + _NAME + ")?")


def block_tags(
    block_end: str,
    markup: str,
    *,
    line_breaks: bool = False,
    dialects: tuple[Dialect, ...] = (JSON,),
) -> Tags:
    """Return the tags of a block with one function.

    Args:
        block_end: The marker that closes the block.
        markup: What calls say of the markup around them.
        line_breaks: As in ``Tags``.
        dialects: As in ``Tags``.
    """
    return Tags(
        argument=re.compile(r"\s*+" + marker(PARAMETER) + _NAME),
        argument_end=in_shape(PARAMETER_END),
        close=re.compile(r"\s*+" + marker(FUNCTION_END) + r"\s*+" + marker(block_end)),
        markup=markup,
        line_breaks=line_breaks,
        dialects=dialects,
    )
