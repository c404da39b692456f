"""A completion with its control tokens told apart from letters that spell one."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from cbdata.call_formats.base import MARK, CallFormat, View, any_of
from cbdata.call_formats.registry import KNOWN_MARKERS, SPELLED_END_TOKENS
from cbdata.render.tokenizer import PlainTokenizer


class Control(NamedTuple):
    """A control token in a completion's text, ``[start, end)`` in code points."""

    start: int
    end: int
    token: str


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion's text, the control tokens in it, and the control tokens that there are.

    ``vocabulary``: a marker in it counts only where a control token stands, its letters are text. A
    marker that is not in it is written in letters by this model, and they count. An empty
    vocabulary reads everything as spelled.
    """

    text: str
    controls: tuple[Control, ...] = ()
    vocabulary: frozenset[str] = frozenset()

    @classmethod
    def from_ids(
        cls,
        ids: Iterable[int],
        tokenizer: PlainTokenizer,
        decode: Callable[[Sequence[int]], str],
    ) -> Completion:
        """A completion from the ids that the engine returned.

        Args:
            ids: token ids, end of turn included.
            tokenizer: knows which ids are control tokens.
            decode: ids without control tokens to text, as in ``Renderer.decode``.
        """
        structural = {token: text for text, token in structural_tokens(tokenizer).items()}
        pieces: list[str] = []
        controls: list[Control] = []
        pos = 0
        for control, run in groupby(ids, lambda token: token in structural):
            if not control:
                pieces.append(decode(list(run)))
                pos += len(pieces[-1])
                continue
            for token in run:
                text = structural[token]
                controls.append(Control(pos, pos + len(text), text))
                pieces.append(text)
                pos += len(text)
        return cls("".join(pieces), tuple(controls), frozenset(tokenizer.control))

    @classmethod
    def spelled(cls, text: str, tokenizer: PlainTokenizer | None = None) -> Completion:
        """A completion of which only the text is known: the letters of a marker count as the
        marker.
        """
        if tokenizer is None:
            return cls(text)
        structural = structural_tokens(tokenizer)
        controls = []
        for match in tokenizer.pattern.finditer(text):
            token = match.group().strip()
            if token in structural:
                start = match.start() + match.group().find(token)
                controls.append(Control(start, start + len(token), token))
        return cls(text, tuple(controls), frozenset(tokenizer.control))

    def view(
        self, call_format: CallFormat, end_tokens: frozenset[str] | None = None
    ) -> tuple[View, Control | None]:
        """The completion up to its end of turn as a format sees it, and the token that ended it.

        Args:
            call_format: whose markers count.
            end_tokens: what ends a turn of this model; None: of every known family. A format's own
                markers never end a turn.
        """
        own = frozenset(call_format.all_markers)
        ends = (SPELLED_END_TOKENS if end_tokens is None else end_tokens) | frozenset(
            call_format.end_tokens if end_tokens is None else ()
        )
        ends -= own
        found = self._marks(own | ends)
        end = next((mark for mark in found if mark.token in ends), None)
        length = end.start if end else len(self.text)
        text = self.text[:length]
        plain = text.replace(MARK, "\ufffd") if MARK in text else text
        pieces, pos = [], 0
        for mark in found:
            if mark.start >= length:
                break
            pieces += [plain[pos : mark.start], MARK]
            pos = mark.start + 1
        pieces.append(plain[pos:])
        return View(text, "".join(pieces)), end

    def _marks(self, markers: frozenset[str]) -> list[Control]:
        """Control tokens, and the letters of those markers that are no control tokens here, in
        order.
        """
        pattern = _letters(markers - self.vocabulary)
        if pattern is None:
            return list(self.controls)
        found: list[Control] = []
        pos = 0
        for control in (*self.controls, None):
            stop = control.start if control else len(self.text)
            found += [
                Control(match.start(), match.end(), match.group())
                for match in pattern.finditer(self.text, pos, stop)
            ]
            if control:
                found.append(control)
                pos = control.end
        return found


def structural_tokens(tokenizer: PlainTokenizer) -> dict[str, int]:
    """Special tokens and known markers, with their ids; an added token such as ``<b>`` is text."""
    return {
        text: token.id
        for text, token in tokenizer.control.items()
        if token.special or text in KNOWN_MARKERS
    }


@functools.lru_cache(maxsize=256)
def _letters(markers: frozenset[str]) -> re.Pattern[str] | None:
    if not markers:
        return None
    return re.compile(any_of(markers))
