"""Whether, and where, the text of an injection stands in what the tools returned to the model.

The texts come from the run's ``injections`` where it has them (run files). Exports do not, so there
the frame that the attack puts around its text is looked for; one from which a defence took the goal
is none. Tools print texts through YAML, JSON,
HTML or Python's ``repr``; the search undoes each of them, and spans are those of the text as
printed. The search is imported where it is needed: most transcripts are exports, whose frames are
found without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cbdata.sources.split_keys import goal_words

FRAME = ("<INFORMATION>", "</INFORMATION>")
"""Around the text of the attacks of ``important_instructions_attacks.py`` and ``dos_attacks.py`` in
AgentDojo.
"""

_FRAMED = ("important_instructions", "tool_knowledge", "dos")
_FRAME_WORD = "INFORMATION"
_PIECE = (12, 32)
"""Shortest and longest piece of a text that is looked for where the whole is not found."""
_ESCAPED = r"\\++(?:[rnt]|u000[9ad])?+"
_GAP = rf"(?:\s|{_ESCAPED})++"
_GOAL_BEGINS = re.compile(
    rf"do{_GAP}the{_GAP}following{_GAP}first:(?:{_ESCAPED}|[\s'])*+(?!After{_GAP}you{_GAP}do)\w"
)
"""A goal behind the words before it, whose lines may be broken, and the breaks escaped."""
_BREAK = re.compile(r"\\[rnt]|(?:\x1b|\\u001b)\[[0-9;]*m")
"""Escaped line breaks and the colours of a terminal: letters that a printer puts into words."""
_NO_LETTERS = re.compile("[^a-z]+")
_WORD = re.compile("[a-z]{4,}")
_WORDS = 4
"""How many of its longest words a content must have before a text is looked for by its letters."""


class FoundInjection(NamedTuple):
    """Where an injection is printed: code points [start, end) of the content of one message."""

    message_index: int
    start: int
    end: int


def find_injections(
    messages: list[dict[str, Any]], texts: list[str], attack_type: str | None
) -> tuple[list[FoundInjection], bool]:
    """Look for injections in what the tools returned.

    Args:
        messages: The messages of a trace.
        texts: The injections' texts, as the run gives them; empty if it gives none.
        attack_type: AgentDojo's name of the attack, or None.

    Returns:
        The places in tool messages in reading order, and whether the search can tell. It cannot if
        the run gives no texts and its attack has no known frame, or if it found no text but a piece
        of one: a result that was cut off, or printed in a way that is not known here.
    """
    framed = attack_type is not None and any(name in attack_type for name in _FRAMED)
    search = _TextSearch(texts) if texts else None
    spans: list[FoundInjection] = []
    for index, message in enumerate(messages):
        if message["role"] != "tool":
            continue
        content = message["content"]
        found = _framed_spans(content) if framed and _FRAME_WORD in content else []
        found = [(start, end) for start, end in found if _holds_goal(content[start:end])]
        if search is not None:
            found += search.places(content)
            found = found or search.places_by_letters(content)
        if found:
            spans += [FoundInjection(index, start, end) for start, end in _merged(found)]
    open_still = search is None or search.in_pieces
    return spans, bool(spans) or framed or not open_still


class _TextSearch:
    """A search for some texts. ``in_pieces`` says whether a piece of one was found anywhere."""

    def __init__(self, texts: Iterable[str]) -> None:
        from cbdata.sources.printed_text import folded

        self._texts = {text.strip() for text in texts if text.strip()}
        self._folded = {folded(text) for text in self._texts} - {""}
        self._pieces = [piece for text in self._folded for piece in _pieces(text)]
        self._words = {text: _longest_words(text) for text in self._texts}
        self.in_pieces = False

    def places(self, content: str) -> list[tuple[int, int]]:
        """Where the texts are printed in a content; places may overlap."""
        from cbdata.sources.printed_text import FOLDED, folded, readings

        found = [
            place for text in self._texts if text in content for place in _places(content, text)
        ]
        for reading in readings(content) if self._folded else ():
            quick = folded(reading.text)
            self.in_pieces = self.in_pieces or any(piece in quick for piece in self._pieces)
            texts = [text for text in self._folded if text in quick]
            read = reading.under(FOLDED) if texts else reading
            for text in texts:
                found += (read.span(*place) for place in _places(read.text, text))
        return found

    def places_by_letters(self, content: str) -> list[tuple[int, int]]:
        """Where the letters and digits of the texts stand in their order, with anything else
        between: quotation marks, a sign before every line, tags.
        """
        from cbdata.sources.printed_text import LETTERS, LOOSE_PRINTERS, readings

        lowered = content.casefold()
        texts = {
            letters: text
            for text, words in self._words.items()
            if _has_words(lowered, words)
            for letters in _letters(text)
        }
        found: list[tuple[int, int]] = []
        for reading in readings(content) if texts else ():
            loose = (reading.under(inverse) for inverse in LOOSE_PRINTERS if inverse.finds(reading))
            for each in (reading, *loose):
                read = each.under(LETTERS)
                for letters, text in texts.items():
                    places = (read.span(*place) for place in _places(read.text, letters))
                    found += (_with_marks(content, start, end, text) for start, end in places)
        return found


def _with_marks(content: str, start: int, end: int, text: str) -> tuple[int, int]:
    """A place with the marks that the text begins and ends with, where they stand there."""
    letters = [index for index, char in enumerate(text) if char.isalnum()]
    if not letters:  # symbols that only stand for letters
        return start, end
    for mark in reversed(text[: letters[0]]):
        start -= content[start - 1 : start] == mark
    for mark in text[letters[-1] + 1 :]:
        end += content[end : end + 1] == mark
    return start, end


def _longest_words(text: str) -> list[str]:
    """The longest words of ASCII letters in a text, without case."""
    return sorted(set(_WORD.findall(text.casefold())), key=len)[-_WORDS:]


def _has_words(lowered: str, words: list[str]) -> bool:
    """Whether some long words stand in a content. Few contents have any of them. Printers hardly
    ever change such a word, but those whose lines are of one length break some of them.
    """
    missing = [word for word in words if word not in lowered]
    if missing and len(missing) < len(words):
        joined = _NO_LETTERS.sub("", _BREAK.sub("", lowered))
        return all(word in joined for word in missing)
    return not missing


def _letters(text: str) -> list[str]:
    """The text by its letters and digits, with and without those of tags; none of one that is too
    short to be told so.
    """
    from cbdata.sources.printed_text import LETTERS, LOOSE_PRINTERS

    tags = LOOSE_PRINTERS[-1]
    both = {LETTERS.undo(text), LETTERS.undo(tags.undo(text))}
    return sorted(letters for letters in both if len(letters) >= _PIECE[0])


def _pieces(text: str) -> list[str]:
    """The text in pieces of equal length; none of one that is too short to be told by a piece."""
    shortest, longest = _PIECE
    length = min(longest, len(text) // 2)
    if length < shortest:
        return []
    return [text[start : start + length] for start in range(0, len(text) - length + 1, length)]


def _places(text: str, part: str) -> Iterator[tuple[int, int]]:
    """Every place of a part in a text that does not overlap the one before."""
    start = text.find(part)
    while start >= 0:
        yield start, start + len(part)
        start = text.find(part, start + len(part))


def _framed_spans(content: str) -> list[tuple[int, int]]:
    """Every frame with what it holds, also where its brackets are escaped."""
    if not _has_escaped_frame(content):
        return list(_frames(content))
    from cbdata.sources.printed_text import readings

    ends: dict[int, int] = {}
    for reading in readings(content):
        for place in _frames(reading.text):
            start, end = reading.span(*place)
            # A reading that does not see the frame closed takes all the rest for its text.
            ends[start] = min(end, ends.get(start, end))
    return list(ends.items())


def _holds_goal(frame: str) -> bool:
    """Whether a frame has a goal in it. Of most frames it is seen at a glance."""
    return _GOAL_BEGINS.search(frame) is not None or bool(goal_words(frame))


def _has_escaped_frame(content: str) -> bool:
    """Whether the frame's word stands behind what may be an escaped bracket: ``&lt;``,
    ``\\u003c``, ``<\\/``.
    """
    at = content.find(_FRAME_WORD)
    while at >= 0:
        before = content[max(0, at - 2) : at]
        if before.endswith((";", "c", "C")) or (before.endswith("/") and before != "</"):
            return True
        at = content.find(_FRAME_WORD, at + 1)
    return False


def _frames(text: str) -> Iterator[tuple[int, int]]:
    """Frames in a text. One that is not closed ends with the text (a result that was cut off)."""
    start = text.find(FRAME[0])
    while start >= 0:
        close = text.find(FRAME[1], start)
        end = len(text) if close < 0 else close + len(FRAME[1])
        yield start, end
        start = text.find(FRAME[0], end)


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, overlapping ones joined (a text found both by its frame and by itself is one
    injection).
    """
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
