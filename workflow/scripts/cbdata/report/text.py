"""Text of unknown origin made safe to look at: nothing invisible, nothing that reorders what stands
around it.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import orjson

# Format, control, private-use, surrogate and unassigned characters, line and paragraph separators,
# spaces other than U+0020.
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
CONTROL_PICTURES = 0x2400


def visible_char(char: str) -> str:
    """The character itself if it can be seen and moves nothing, else a control picture or its code
    point in brackets.
    """
    code = ord(char)
    if code == 0x20 or (
        unicodedata.category(char) not in HIDDEN_CATEGORIES and not 0xFE00 <= code <= 0xFE0F
    ):
        return char
    if code < 0x20:
        return chr(CONTROL_PICTURES + code)
    return f"⟦U+{code:04X}⟧"


def visible(value: Any) -> str:
    """``str(value)`` with every hidden character shown. The result is not escaped for HTML."""
    return "".join(map(visible_char, str(value)))


def script_json(value: Any) -> str:
    """JSON that can stand inside a ``script`` element whatever strings it holds: no ``<``, ``>``,
    ``&`` and no line separators.

    Half surrogates cannot be encoded; they must have been replaced before.
    """
    text = orjson.dumps(value).decode()
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
