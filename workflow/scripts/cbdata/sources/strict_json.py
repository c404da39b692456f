"""JSON read without a silent change: what Python or orjson would settle in their own way is an
error.
"""

from __future__ import annotations

from typing import Any

import jiter
import orjson

NESTING = 200
"""Levels that jiter reads."""


class AmbiguousJson(ValueError):
    """JSON that readers do not agree about. ``reason`` is a code of ``sources.reasons``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def strict_loads(data: bytes) -> Any:
    """The value of a JSON text.

    orjson keeps the last of several equal keys and makes a float of an integer that 64 bits do not
    hold, and tells neither. jiter refuses the one and keeps the other apart, but makes infinity of
    a number beyond what floats hold. So jiter reads the text, and orjson reads it once more where
    there is a float in it, or says what is wrong with it.

    Raises:
        orjson.JSONDecodeError: The text is not JSON, or holds a number beyond what floats hold.
        AmbiguousJson: ``repeated_key``, ``big_integer`` or ``too_deep``.
    """
    try:
        value = jiter.from_json(
            data, catch_duplicate_keys=True, float_mode="lossless-float", cache_mode="keys"
        )
    except ValueError as error:
        orjson.loads(data)
        raise _ambiguous(ascii(str(error))[1:-1]) from error
    floats: list[Any] = []
    try:
        orjson.dumps(value, default=floats.append)
    except orjson.JSONEncodeError as error:
        if "Integer" in str(error):
            raise AmbiguousJson(
                "big_integer", "an integer beyond 64 bits, which would become a float"
            ) from error
        raise
    return orjson.loads(data) if floats else value


def _ambiguous(detail: str) -> AmbiguousJson:
    """What jiter refuses though it is JSON."""
    if "recursion" in detail:
        return AmbiguousJson("too_deep", f"nested deeper than {NESTING} levels ({detail})")
    return AmbiguousJson(
        "repeated_key", f"an object has a key twice, so one of two values is lost ({detail})"
    )
