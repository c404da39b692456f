"""A rendered conversation before and after it is tokenised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cbdata.render.align import TokenizedText
from cbdata.render.partition import Stretch
from cbdata.render.traced_text import Part
from cbdata.render.turns import Turn
from cbdata.render.written import Written


@dataclass(slots=True)
class Draft:
    """A rendered conversation before tokenising: ``pieces`` are plain text and control tokens in
    turn, beginning with plain text. ``written``: what a model wrote behind them in tokens of its
    own, which ``text`` and ``turns`` have too. ``fits``: what was changed for the template.
    ``stretches``: what each character that the template printed is.
    """

    text: str
    parts: list[Part]
    pieces: list[str]
    turns: list[Turn]
    control_text: list[tuple[int, str, int]]
    written: Written | None = None
    fits: tuple[str, ...] = ()
    stretches: list[Stretch] = field(default_factory=list)

    def plain(self) -> Iterator[str]:
        """The stretches to encode."""
        return filter(None, self.pieces[::2])

    def prompt_end(self) -> int | None:
        """The character at which the last assistant turn's own text starts, or None without such a
        turn.
        """
        last = next((turn for turn in reversed(self.turns) if turn.role == "assistant"), None)
        if last is None:
            return None
        # A message may have several turns (template_fit)
        return next(turn.own_start for turn in self.turns if turn.index == last.index)


@dataclass(slots=True)
class Rendered:
    """A draft with its token ids."""

    draft: Draft
    tokens: TokenizedText

    def prompt_length(self) -> int | None:
        """The number of tokens before the last assistant turn's own text, or None without such a
        turn.
        """
        end = self.draft.prompt_end()
        return None if end is None else self.tokens.start(end)


def split_at(pieces: list[str], character: int) -> list[str]:
    """Cut the plain piece that holds a position in two, with an empty control piece between so that
    they still alternate.
    """
    position = 0
    for index, piece in enumerate(pieces):
        if position < character < position + len(piece) and not index & 1:
            cut = character - position
            return [*pieces[:index], piece[:cut], "", piece[cut:], *pieces[index + 1 :]]
        position += len(piece)
    return pieces
