"""JSON text of values with hidden control-token text in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_NOT_ASCII = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")

_AS_IT_IS: Sequence[dict[str, Any]] = (
    {"ensure_ascii": False},
    {"ensure_ascii": False, "indent": None, "separators": None, "sort_keys": False},
)
_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes a new encoder each time


def dump(value: Any, hidden: Mapping[str, str], **options: Any) -> str:
    """What ``json.dumps`` gives for the value as it was written, with control-token text hidden.

    Args:
        value: Anything that ``json.dumps`` takes.
        hidden: What each hidden character stands for; a character that JSON escapes comes out
            escaped, because no control token has such escapes.
        options: As for ``json.dumps``; ``ensure_ascii`` is False if it is not given.
    """
    options.setdefault("ensure_ascii", False)
    if hidden and options.get("sort_keys"):
        value, options["sort_keys"] = _sorted(value, hidden), False
    text = _encode(value) if options in _AS_IT_IS else json.dumps(value, **options)
    if not hidden:
        return text
    if options["ensure_ascii"]:
        return _NOT_ASCII.sub(lambda match: _form(match.group(), hidden), text)
    if text.isascii():
        return text
    forms = {}
    for character in set(text) & hidden.keys():
        form = json.dumps(hidden[character], ensure_ascii=False)[1:-1]
        if form != hidden[character]:
            forms[ord(character)] = form
    return text.translate(forms) if forms else text


def _sorted(value: Any, hidden: Mapping[str, str]) -> Any:
    """The same with the keys of mappings in the order of what was written."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: shown(item[0], hidden))
        return {key: _sorted(inner, hidden) for key, inner in items}
    return [_sorted(item, hidden) for item in value] if isinstance(value, list) else value


def shown(value: Any, hidden: Mapping[str, str]) -> Any:
    """A text as it was written, anything else as it is."""
    if not isinstance(value, str) or value.isascii():
        return value
    return "".join([hidden.get(letter, letter) for letter in value])


def _form(escape: str, hidden: Mapping[str, str]) -> str:
    """What a pair of ``\\\\u`` escapes comes out as."""
    character = json.loads(f'"{escape}"')
    if character not in hidden:
        return escape
    form = json.dumps(hidden[character])[1:-1]
    return str(character) if form == hidden[character] else form
