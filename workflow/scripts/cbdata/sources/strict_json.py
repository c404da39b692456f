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

    orjson settles what is JSON. It keeps the last of several equal keys and makes a float of an
    integer that 64 bits do not hold, and tells neither; jiter keeps both apart.

    Raises:
        orjson.JSONDecodeError: The text is not JSON, or holds a number beyond what floats hold.
        AmbiguousJson: ``repeated_key``, ``big_integer`` or ``too_deep``.
    """
    value = orjson.loads(data)
    try:
        orjson.dumps(jiter.from_json(data, catch_duplicate_keys=True))
    except ValueError as error:
        detail = ascii(str(error))[1:-1]
        if "recursion" in detail:
            raise AmbiguousJson(
                "too_deep", f"nested deeper than {NESTING} levels ({detail})"
            ) from error
        raise AmbiguousJson(
            "repeated_key", f"an object has a key twice, so one of two values is lost ({detail})"
        ) from error
    except orjson.JSONEncodeError as error:
        raise AmbiguousJson(
            "big_integer", "an integer beyond 64 bits, which would become a float"
        ) from error
    return value
