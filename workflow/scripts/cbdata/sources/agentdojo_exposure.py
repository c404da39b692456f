"""Whether, and where, the text of an injection stands in what the tools returned to the model.

The texts come from the run's ``injections`` where it has them (run files). Exports do not, so there
the frame that the attack puts around its text is looked for. Tool results print texts through YAML
or Python's ``repr``, which fold lines and escape characters; the search allows for both, and spans
are those of the text as printed.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

FRAME = ("<INFORMATION>", "</INFORMATION>")
"""Around the text of the attacks of ``important_instructions_attacks.py`` and ``dos_attacks.py`` in
AgentDojo.
"""

_FRAMED = ("important_instructions", "tool_knowledge", "dos")
_SEPARATOR = r"(?:\s|\\{1,4}n|\\(?=\s))+"
"""White space as it may be printed; every count of backslashes is bounded, or a run of them would
cost quadratic time.
"""


class FoundInjection(NamedTuple):
    """Where an injection is printed: code points [start, end) of the content of one message."""

    message_index: int
    start: int
    end: int


def find_injections(
    messages: list[dict[str, Any]], texts: list[str], attack_type: str | None
) -> tuple[list[FoundInjection], bool]:
    """Look for injections in what the tools returned.

    Args:
        messages: The messages of a trace.
        texts: The injections' texts, as the run gives them; empty if it gives none.
        attack_type: AgentDojo's name of the attack, or None.

    Returns:
        The places in tool messages in reading order, and whether the search could have found the
        attack at all. It could not if the run gives no texts and its attack has no known frame:
        then nobody can tell from the transcript.
    """
    framed = attack_type is not None and any(name in attack_type for name in _FRAMED)
    spans: list[FoundInjection] = []
    for index, message in enumerate(messages):
        if message["role"] != "tool":
            continue
        content = message["content"]
        found = _framed_spans(content) if framed and FRAME[0] in content else []
        for text in texts:
            found += _printed_spans(content, text)
        if found:
            spans += [FoundInjection(index, start, end) for start, end in _merged(found)]
    return spans, framed or bool(texts)


def _framed_spans(content: str) -> list[tuple[int, int]]:
    """Every frame with what it holds; one that is not closed ends with the content (a result that
    was cut off).
    """
    spans = []
    start = content.find(FRAME[0])
    while start >= 0:
        close = content.find(FRAME[1], start)
        end = len(content) if close < 0 else close + len(FRAME[1])
        spans.append((start, end))
        start = content.find(FRAME[0], end)
    return spans


def _printed_spans(content: str, text: str) -> list[tuple[int, int]]:
    """Every place where a text is printed, verbatim or folded and escaped."""
    text = text.strip()
    if not text:
        return []
    if text in content:
        return [(match.start(), match.end()) for match in re.finditer(re.escape(text), content)]
    return [match.span() for match in _as_printed(text).finditer(content)]


@functools.lru_cache(maxsize=256)
def _as_printed(text: str) -> re.Pattern[str]:
    """A pattern for a text whose white space may be folded, and whose quotes and non-ASCII
    characters may be escaped.
    """
    return re.compile(_SEPARATOR.join("".join(map(_char, word)) for word in text.split()))


def _char(char: str) -> str:
    if char == "'":
        return r"(?:\\{0,4}'|'')"
    if char == '"':
        return r'\\{0,4}"'
    if char == "\\":
        return r"\\{1,2}"
    if char.isascii():
        return re.escape(char)
    code = ord(char)
    escapes = [rf"\\x{code:02x}"] if code < 0x100 else []
    escapes += [rf"\\u{code:04x}"] if code < 0x10000 else [rf"\\U{code:08x}"]
    return f"(?:{'|'.join([re.escape(char), *escapes])})"


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, overlapping ones joined (a text found both by its frame and by itself is one
    injection).
    """
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
