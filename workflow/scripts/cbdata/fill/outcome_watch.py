"""What completions are while they come in: a call format that does not fit shows in the first
minutes, not when the GPU time is spent.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

logger = logging.getLogger(__name__)

UNREAD = ("unclear", "malformed", "no_call")
"""Outcomes of completions in which no call could be read."""

WARN_AFTER = 200
WARN_SHARE = 0.5
SHAPE_CHARACTERS = 60
SHOWN_CHARACTERS = 160

_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*+"')
_WORDS = re.compile(r"[^\W\d_]\w*+(?:[\s,]++[^\W\d_]\w*+)*+")
_NUMBER = re.compile(r"\d++")
_SPACE = re.compile(r"\s++")


def unread_share(outcomes: Mapping[str, int]) -> float:
    """The share of completions, counted by outcome, in which no call could be read."""
    total = sum(outcomes.values())
    return sum(outcomes.get(name, 0) for name in UNREAD) / total if total else 0.0


def describe_unread(outcomes: Mapping[str, int]) -> str:
    """The same for people, with its parts."""
    total = max(sum(outcomes.values()), 1)
    parts = ", ".join(f"{name} {outcomes.get(name, 0) / total:.1%}" for name in UNREAD)
    return f"{unread_share(outcomes):.1%} without a readable call ({parts})"


def shape(text: str) -> str:
    """What a completion looks like from its beginning on, whatever its words and values."""
    start = text[: 8 * SHAPE_CHARACTERS]
    for pattern, short in ((_STRING, '""'), (_WORDS, "a"), (_NUMBER, "0"), (_SPACE, " ")):
        start = pattern.sub(short, start)
    return start.strip()[:SHAPE_CHARACTERS]


class Judged(Protocol):
    """The part of a judgement that is watched. The judge itself is not imported, so that merge,
    which counts outcomes too, need not run again with every change of it.
    """

    @property
    def outcome(self) -> str:
        """A key of the judge's outcomes."""
        ...

    @property
    def call_format(self) -> str:
        """The format that the completion was read in."""
        ...


class OutcomeWatch:
    """Counts outcomes, and warns once if most of the first completions cannot be read."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self._shapes: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._warned = False

    def note(self, judgement: Judged, text: str) -> None:
        """Count a completion; ``text`` is what the model wrote."""
        self.outcomes[judgement.outcome] += 1
        if self._warned:
            return
        if judgement.outcome in UNREAD:
            found = shape(text)
            self._shapes[found] += 1
            self._examples.setdefault(found, text)
        total = self.outcomes.total()
        if total >= WARN_AFTER and unread_share(self.outcomes) > WARN_SHARE:
            self._warn(judgement.call_format)

    def _warn(self, call_format: str) -> None:
        self._warned = True
        (commonest, count), *_ = self._shapes.most_common(1)
        example = self._examples[commonest]
        shown = ascii(example[:SHOWN_CHARACTERS]) + ("..." if example[SHOWN_CHARACTERS:] else "")
        logger.warning(
            "of %d completions %s, read as %s. Does the model write another call format? The"
            " commonest shape, %d of them, looks like %s",
            self.outcomes.total(),
            describe_unread(self.outcomes),
            call_format,
            count,
            shown,
        )
        self._shapes.clear()
        self._examples.clear()
