"""Addresses of servers in words for people."""

from __future__ import annotations

import re

_BEFORE_HOST = re.compile(r"(?<=://)(?:(?!://)\S)*@")
_QUERY = re.compile(r"(://[^\s?#]*[?#])[^\s'\"]+")


def without_secrets(words: str) -> str:
    """Words with ``***`` for what a user's name, password or key may be in an address."""
    return _QUERY.sub(r"\1***", _BEFORE_HOST.sub("***@", words))
