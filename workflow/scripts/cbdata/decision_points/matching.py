"""Whether a call is one that a goal or a task asks for: by its tool and its arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from cbdata.records import ArgumentMatcher, CallPattern

MISSING = object()
"""In the place of an argument that a call does not have."""


class PatternError(ValueError):
    """A call pattern cannot be used: says which part of it is wrong."""


def call_matches(pattern: CallPattern, tool: str, arguments: Mapping[str, Any]) -> bool:
    """Say whether a call is one that a pattern means.

    Args:
        pattern: The tool, and a matcher for every argument that counts; the others are free.
        tool: The tool that was called.
        arguments: The call's arguments.
    """
    return tool == pattern["tool"] and all(
        _holds(cast(ArgumentMatcher, matcher), arguments.get(key, MISSING))
        for key, matcher in pattern["arguments"].items()
    )


def matches_any(patterns: Iterable[CallPattern], tool: str, arguments: Mapping[str, Any]) -> bool:
    """Say whether a call is one that some pattern means.

    Args:
        patterns: The patterns.
        tool: The tool that was called.
        arguments: The call's arguments.
    """
    return any(call_matches(pattern, tool, arguments) for pattern in patterns)


def check_pattern(pattern: Any, where: str) -> CallPattern:
    """A call pattern as read from JSON, checked, regular expressions included.

    Args:
        pattern: What stands in the file.
        where: Its place in the file, for the message.

    Raises:
        PatternError: It is not a pattern.
    """
    if not isinstance(pattern, dict) or set(pattern) != {"tool", "arguments"}:
        raise PatternError(f"{where}: expected {{tool, arguments}}, got {pattern!r:.80}")
    if not isinstance(pattern["tool"], str) or not pattern["tool"]:
        raise PatternError(f"{where}/tool: expected a name, got {pattern['tool']!r:.80}")
    if not isinstance(pattern["arguments"], dict):
        raise PatternError(f"{where}/arguments: expected an object of matchers")
    for key, matcher in pattern["arguments"].items():
        _check_matcher(matcher, f"{where}/arguments/{key}")
    return cast(CallPattern, pattern)


def _check_matcher(matcher: Any, where: str) -> None:
    if not isinstance(matcher, dict) or matcher.get("match") not in _MATCHERS:
        raise PatternError(
            f"{where}: expected {{match, value}} with match one of {', '.join(_MATCHERS)}"
        )
    kind, value = matcher["match"], matcher.get("value")
    if set(matcher) - {"match", "value"} or ("value" in matcher) == (kind == "any"):
        raise PatternError(f"{where}: {kind} needs {'no' if kind == 'any' else 'a'} value")
    if kind == "one_of" and not isinstance(value, list):
        raise PatternError(f"{where}/value: one_of needs a list, got {value!r:.80}")
    if kind in ("contains", "regex") and (not isinstance(value, str) or not value):
        raise PatternError(f"{where}/value: {kind} needs text, got {value!r:.80}")
    if kind == "regex":
        try:
            re.compile(str(value))
        except re.error as error:
            raise PatternError(f"{where}/value: not a regular expression ({error})") from error


def _holds(matcher: ArgumentMatcher, actual: Any) -> bool:
    return actual is not MISSING and _MATCHERS[matcher["match"]](matcher.get("value"), actual)


def _same(value: Any, actual: Any) -> bool:
    """Equal values; numbers by their amount, and a number equals its own digits as text, because
    models write ids as either.
    """
    if isinstance(value, list) and isinstance(actual, list):
        return len(value) == len(actual) and all(map(_same, value, actual))
    if isinstance(value, dict) and isinstance(actual, dict):
        return value.keys() == actual.keys() and all(_same(value[k], actual[k]) for k in value)
    if isinstance(value, bool) or isinstance(actual, bool):
        return value is actual
    if isinstance(value, int | float) and isinstance(actual, int | float):
        return value == actual
    if isinstance(value, str | int | float) and isinstance(actual, str | int | float):
        return str(value).strip() == str(actual).strip()
    return bool(value == actual)


def _contains(value: str, actual: Any) -> bool:
    """The text stands in the argument, in an element of it where it is a list; case does not
    count.
    """
    parts = actual if isinstance(actual, list) else [actual]
    return any(value.casefold() in str(part).casefold() for part in parts if part is not None)


def _one_of(value: list[Any], actual: Any) -> bool:
    return any(_same(each, actual) for each in value)


def _regex(value: str, actual: Any) -> bool:
    parts = actual if isinstance(actual, list) else [actual]
    return any(re.search(value, str(part)) for part in parts if part is not None)


def _any(value: Any, actual: Any) -> bool:
    del value, actual
    return True


_MATCHERS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": _same,
    "contains": _contains,
    "one_of": _one_of,
    "regex": _regex,
    "any": _any,
}
