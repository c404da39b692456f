"""How tools print the text of a slot: which characters of a tool result are that text, and how
another text is written in its place.

Tools print objects as YAML, as Python's ``str`` of them, or give a text as it is. The search goes
backwards from the print: a plain word is put in the place of the injection, the result is read as
YAML or Python would read it, and the string that holds the word says what stands around the
injection and in which quotes.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Literal, TypeGuard

import yaml

Style = Literal["as_is", "plain", "block", "single_quoted", "escaped"]
"""A text by itself; YAML without quotes, folded or line by line (``|``); YAML's single quotes;
quotes inside which a backslash escapes.
"""

MARK = "InjectedTextStandsHere"
"""In the place of an injection: one word, the same in every notation."""

QUOTE = "'"

_SPACE = r"(?:\\\n|\\[ntr ]|\s)"
_ESCAPED_BEFORE, _ESCAPED_AFTER = re.compile(rf"{_SPACE}*+\Z"), re.compile(rf"{_SPACE}*+")
_PLAIN_BEFORE, _PLAIN_AFTER = re.compile(r"\s*+\Z"), re.compile(r"\s*+")
_WINDOW = 400
"""How far the white space around an injection may reach, in printed characters."""
_DEPTH = 100
"""More nested lists and objects than any tool prints; the YAML reader's time grows with the square
of their number.
"""
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Scalar:
    """The string that an injection stands in, as a reader of the tool result has it.

    ``before`` and ``after``: its text around the injection. ``beside``: the scalars of the object
    that it is a value of. ``quote``: the mark around it, where a backslash escapes it.
    """

    before: str
    after: str
    beside: dict[str, str]
    style: Style
    quote: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the injection is all of the string."""
        return not self.before.strip() and not self.after.strip()


def read_scalar(content: str, start: int, end: int) -> Scalar:
    """Read the string that ``content[start:end]`` stands in.

    Args:
        content: A tool result.
        start: First code point of the injection.
        end: Behind its last.

    Returns:
        The string. A result that is neither YAML of objects nor Python's print of one is a text
        by itself.
    """
    marked = content[:start] + MARK + content[end:]
    opening, closing = _delimiters(marked)
    inner = marked[len(opening) : len(marked) - len(closing)]
    if marked.count(MARK) == 1:
        found = _python_scalar(inner) or _yaml_scalar(inner)
        if found is not None:
            return found
    before, after = content[len(opening) : start], content[end : len(content) - len(closing)]
    return Scalar(before, after, {}, "as_is")


def slot_span(content: str, start: int, end: int, scalar: Scalar) -> tuple[int, int]:
    """Widen an injection's span by the white space around it, as the string's notation writes it.

    Args:
        content: The tool result.
        start: First code point of the injection.
        end: Behind its last.
        scalar: What ``read_scalar`` gave.

    Returns:
        The half-open span of injection and white space.
    """
    window = (content[max(0, start - _WINDOW) : start], content[end : end + _WINDOW])
    escaped = scalar.style == "escaped"
    before, after = (_ESCAPED_BEFORE, _ESCAPED_AFTER) if escaped else (_PLAIN_BEFORE, _PLAIN_AFTER)
    # Without quotes, what is white space at the ends of the string is YAML's own.
    bare = scalar.style in ("plain", "block")
    ahead = None if bare and not scalar.before.strip() else before.search(window[0])
    behind = None if bare and not scalar.after.strip() else after.match(window[1])
    return start - len(ahead[0] if ahead else ""), end + len(behind[0] if behind else "")


def written(text: str, scalar: Scalar, indent: str = "") -> str:
    """A text as it is written inside the string that a scalar was read from.

    Args:
        text: The text.
        scalar: What ``read_scalar`` gave.
        indent: What further lines of the string begin with, where it goes over several.
    """
    if scalar.style == "plain" and scalar.is_whole:
        # Without quotes it could read as a number, as nothing, or as an object.
        return f"'{_folded(text.strip().replace(QUOTE, QUOTE * 2), indent)}'"
    if scalar.style == "single_quoted":
        return _folded(text.replace(QUOTE, QUOTE * 2), indent)
    if scalar.style == "plain":
        return _folded(text, indent)
    if scalar.style == "block":
        text = text if scalar.after.strip() else text.rstrip()
        return text.replace("\n", "\n" + indent)
    if scalar.style == "escaped":
        text = text.replace("\\", "\\\\").replace(scalar.quote, "\\" + scalar.quote)
        return text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return text


def _folded(text: str, indent: str) -> str:
    """A single line break is a space to YAML, n + 1 of them are n."""
    return re.sub("\n+", lambda run: "\n" * (len(run[0]) + 1) + indent, text)


def _delimiters(content: str) -> tuple[str, str]:
    """What a defence puts around a whole tool result (spotlighting with delimiting)."""
    return ("<<", ">>") if content.startswith("<<") and content.endswith(">>") else ("", "")


def _python_scalar(content: str) -> Scalar | None:
    """The string with the mark in an object as Python or JSON prints it."""
    if not content.startswith(("{", "[", "(")):
        return None
    try:
        tree = ast.parse(content, mode="eval")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    beside: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and any(map(_marked, node.values)):
            beside = {
                str(key.value): str(value.value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
                and isinstance(value, ast.Constant)
                and not _marked(value)
            }
        if _marked(node):
            printed = ast.get_source_segment(content, node) or ""
            if printed[:1] not in ("'", '"') or printed[:1] != printed[-1:]:
                return None
            before, _, after = str(node.value).partition(MARK)
            return Scalar(before, after, beside, "escaped", printed[0])
    return None


def _marked(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and MARK in node.value


@dataclass
class _Holder:
    """A YAML list or object that is being read; ``key`` waits for its value in an object."""

    is_object: bool
    key: str | None = None
    scalars: dict[str, str] = field(default_factory=dict)
    found: tuple[str, yaml.ScalarEvent] | None = None

    def take(self, value: str | None) -> str | None:
        """Note what comes next in it, None for a value that is no scalar. Returns the key that the
        value belongs to, None where it is a key itself or an item of a list.
        """
        if not self.is_object:
            return None
        if self.key is None:
            self.key = value or ""
            return None
        key, self.key = self.key, None
        if value is not None:
            self.scalars[key] = value
        return key


def _yaml_scalar(content: str) -> Scalar | None:
    """The string with the mark in YAML of lists and objects.

    Read event by event, and not too deep: a hostile text may be nested as it likes.
    """
    holders: list[_Holder] = []
    try:
        for event in yaml.parse(content, Loader=_LOADER):
            if isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                if holders:
                    holders[-1].take(None)
                holders.append(_Holder(isinstance(event, yaml.MappingStartEvent)))
                if len(holders) > _DEPTH:
                    return None
            elif isinstance(event, yaml.AliasEvent) and holders:
                holders[-1].take(None)
            elif isinstance(event, yaml.ScalarEvent) and holders:
                key = holders[-1].take(event.value)
                if MARK in event.value:
                    holders[-1].found = (key or "", event)
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                holder = holders.pop()
                if holder.found:
                    key, event = holder.found
                    holder.scalars.pop(key, None)
                    return _of_event(event, holder.scalars)
    except yaml.YAMLError:
        return None
    return None


def _of_event(event: yaml.ScalarEvent, beside: dict[str, str]) -> Scalar:
    before, _, after = event.value.partition(MARK)
    if event.style == '"':
        return Scalar(before, after, beside, "escaped", '"')
    style: Style = (
        "single_quoted" if event.style == QUOTE else "block" if event.style == "|" else "plain"
    )
    return Scalar(before, after, beside, style)
