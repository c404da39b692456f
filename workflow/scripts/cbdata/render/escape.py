"""Control-token text inside messages: found, and carried through the template as something else of
the same length.

Every character of such text is moved into a private-use plane before the template sees it and moved
back before tokenising. Same length, so no position shifts; private use, so no template reads
structure into it; and what the template itself prints stays the only source of control tokens.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from cbdata.rejects import Reject
from cbdata.render.tokenizer import PlainTokenizer

PLANES = (0xF0000, 0x100000)  # supplementary private use areas A and B
PLANE_SIZE = 0xFF00  # leaves out the plane's last characters, which traced_text.dump_json uses


class Escaper:
    """Moves control-token text in the strings of one conversation out of the way, and back in
    rendered text.
    """

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        self._pattern = tokenizer.pattern
        self._tokens = tokenizer.control
        self._plane = PLANES[0]
        self.counts: Counter[tuple[int, str]] = Counter()
        """(message index, control token) -> how often; index -1 stands for the tool schemas."""

    def prepare(self, *values: Any) -> None:
        """Choose a plane that none of the strings in ``values`` uses. Raises Reject where both
        are used.
        """
        strings = [text for value in values for text in strings_of(value)]
        self.counts.clear()
        for plane in PLANES:
            if not any(
                plane <= ord(character) < plane + PLANE_SIZE
                for text in strings
                if not text.isascii()
                for character in set(text)
            ):
                self._plane = plane
                return
        raise Reject(
            "private_use_conflict",
            "control-token text beside characters of both supplementary private use planes",
        )

    def hide(self, value: Any, message: int) -> Any:
        """A copy of a string or of nested lists and mappings in which no control token can be
        read.
        """
        if isinstance(value, str):
            return self._pattern.sub(lambda match: self._hidden(match.group(), message), value)
        if isinstance(value, list):
            return [self.hide(item, message) for item in value]
        if isinstance(value, dict):
            return {
                self.hide(key, message): self.hide(item, message) for key, item in value.items()
            }
        return value

    def reveal(self, text: str) -> str:
        """The text as it was written."""
        low, high = self._plane, self._plane + PLANE_SIZE
        if text.isascii():
            return text
        table = {
            ord(character): chr(ord(character) - low)
            for character in set(text)
            if low <= ord(character) < high
        }
        return text.translate(table) if table else text

    def _hidden(self, token: str, message: int) -> str:
        self.counts[message, token if token in self._tokens else token.strip()] += 1
        if any(ord(character) >= PLANE_SIZE for character in token):
            raise Reject(
                "control_token_unescapable",
                f"the control token {token!r} in a message has characters outside the basic plane",
            )
        return "".join([chr(self._plane + ord(character)) for character in token])


def strings_of(value: Any) -> list[str]:
    """Every string in nested lists and mappings, keys included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in strings_of(item)]
    if isinstance(value, dict):
        return [
            text for key, item in value.items() for text in (*strings_of(key), *strings_of(item))
        ]
    return []
