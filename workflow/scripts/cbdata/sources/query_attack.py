"""Where an attack stands in a query that it was put into."""

from __future__ import annotations

from typing import NamedTuple

from cbdata.rejects import Reject
from cbdata.sources import shown


class Attack(NamedTuple):
    """The attack inside ``combined_query``: every place where it stands, code points [start, end),
    in reading order.
    """

    spans: list[tuple[int, int]]
    flags: list[str]


def locate_attack(benign: str, injection: str, combined: str) -> Attack:
    """Find the attack in the combined query by exact comparison.

    The attack is the injection where that occurs, but not inside a longer word. Of several places
    it is only the one without which the benign query remains, or else all of them (flag
    ``injection_repeated``). Where the injection is empty or does not occur, but the combined query
    is the benign one with one piece put in, it is that piece without the white space around it
    (flag ``injection_from_difference``). Otherwise there is no span (flag
    ``injection_not_found``).

    Args:
        benign: What the user asked for.
        injection: What the attacker added, as the source says.
        combined: What the model was given.

    Raises:
        Reject: ``no_attack``, if the combined query adds nothing to the benign one.
    """
    if combined.split() == benign.split():
        raise _no_attack(injection)
    if injection.strip():
        spans = _occurrences(combined, injection)
        added = [
            (start, end)
            for start, end in spans
            if (combined[:start] + combined[end:]).split() == benign.split()
        ]
        found = added[-1:] or [span for span in spans if not _inside_word(combined, *span)]
        if found:
            return Attack(found, ["injection_repeated"] if len(spans) > 1 else [])
    flags = ["injection_differs"] if injection.strip() else ["injection_empty"]
    piece = _inserted(benign, combined)
    if piece is None:
        return Attack([], [*flags, "injection_not_found"])
    start, end = piece
    text = combined[start:end]
    start, end = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
    if start >= end:
        raise _no_attack(injection)
    return Attack([(start, end)], [*flags, "injection_from_difference"])


def _occurrences(text: str, part: str) -> list[tuple[int, int]]:
    """Every place of a part in a text that does not overlap the one before."""
    spans = []
    start = text.find(part)
    while start >= 0:
        spans.append((start, start + len(part)))
        start = text.find(part, start + len(part))
    return spans


def _inserted(benign: str, combined: str) -> tuple[int, int] | None:
    """[start, end) of the one piece by which ``combined`` is longer than ``benign``, None if it
    differs in any other way.
    """
    extra = len(combined) - len(benign)
    if extra < 0:
        return None
    start = next(
        (index for index, char in enumerate(benign) if combined[index] != char), len(benign)
    )
    return (start, start + extra) if combined.endswith(benign[start:]) else None


def _inside_word(text: str, start: int, end: int) -> bool:
    """Whether a piece of a text is a part of a longer word. Only words of ASCII letters and digits
    are told: other scripts write words without space between them.
    """
    return any(
        f"{left}{right}".isascii() and left.isalnum() and right.isalnum()
        for left, right in (
            (text[start - 1 : start], text[start]),
            (text[end - 1], text[end : end + 1]),
        )
    )


def _no_attack(injection: str) -> Reject:
    return Reject(
        "no_attack",
        f"combined_query adds nothing to benign_query, malicious_injection is {shown(injection)}",
    )
