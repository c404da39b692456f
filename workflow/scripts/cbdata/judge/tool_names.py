"""Where prose names a tool: as it is spelled, in plain words or not, and in other spellings."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

QUOTE = "[\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb]"

_BEFORE_PLAIN = re.compile(r"(?:\A|[^\s:=]\s+)(?:the\s)?[(*_`]{0,3}\Z")
_AFTER_PLAIN = re.compile(r"[*_`]{0,3}(?:['’]s\b)?(?:[.,;!?)](?:\s|\Z)|\s*:?\s*\Z|\s+(?![({\[=:]))")
_LINE_BEFORE = re.compile(r"(?:\A|\n)[ \t*_`#>-]{0,8}\Z")
_LINE_AFTER = re.compile(r"[ \t*_`]{0,8}(?:\n|\Z)")
_NEAR = 10
_OPENS_A_CALL = re.compile(r"\s{0,4}" + QUOTE + r"?\s{0,4}[({\[<=:]")

_OTHER_THAN_LETTERS = re.compile(r"[\W_]++")
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_A-Za-z]+")
_TOOL_WORD_BEFORE = re.compile(
    r"\b(?:tools?|functions?|action|command|api|name|import|call(?:ing|s)?|invok(?:e|es|ing)"
    r"|us(?:e|es|ing)|runs?|running|execut(?:e|es|ing)|rufe|verwende|nutze|llam\w+|uso|usar\w*"
    r"|appell?e|utilis\w+|cham\w+|chiam\w+|вызыва\w+|использу\w+)"
    r"\W{1,3}(?:(?:named|called|the|a|my)\W{1,3}){0,2}\Z"
    # signs of code; another script
    r"|[/@#$!|>(\[\"'“‘«=「『]\Z|[^\W\dA-Za-z\u00c0-\u024f]\s?\Z",
    re.IGNORECASE,
)
# A sentence that begins with a small letter is a command.
_SENTENCE_BEGINS = re.compile(r"(?:\A|\n|[.!?:] )[ \t*_`#>$-]{0,8}\Z")
_TOOL_WORD_AFTER = re.compile(
    r"\W{1,3}(?:tool|function|command|api|action)\b"
    r"|[*_`]{0,3}\s?[:?/|\"'”’»」』\uff1a(\[={\uff08]|,\S|\s?[^\W\dA-Za-z\u00c0-\u024f]",
    re.IGNORECASE,
)
_TOOL_WORDS_REACH = 40


class Spelling(NamedTuple):
    """A tool's name in a text in another spelling than its own: where, which, and whether in words
    (``search web``), as a sentence may have them.
    """

    start: int
    name: str
    words: bool


@functools.lru_cache(maxsize=64)
def _names(tool_names: tuple[str, ...]) -> re.Pattern[str] | None:
    if not tool_names:
        return None
    longest_first = sorted(tool_names, key=lambda name: (-len(name), name))
    return re.compile("|".join(_bounded(re.escape(name), name) for name in longest_first))


def _bounded(pattern: str, name: str) -> str:
    """A pattern for a name that is no part of a longer one. Chinese and Japanese put no space
    between words, so letters beyond ASCII end a name of ASCII letters.
    """
    word = r"[A-Za-z0-9_]" if name.isascii() else r"\w"
    return f"(?<!{word}){pattern}(?!{word})"


def mentions(text: str, tool_names: Collection[str]) -> Iterator[tuple[re.Match[str], bool]]:
    """Where a tool is named as it is spelled, and whether in plain words.

    A name that is an ordinary word (``search``) counts only where call syntax stands beside it.
    """
    pattern = _names(tuple(tool_names))
    if pattern is None:
        return
    for place in pattern.finditer(text):
        before = text[max(0, place.start() - _NEAR) : place.start()]
        after = text[place.end() : place.end() + _NEAR]
        plain = bool(_BEFORE_PLAIN.search(before) and _AFTER_PLAIN.match(after))
        if _LINE_BEFORE.search(before) and _LINE_AFTER.match(after):
            plain = False
        if is_word(place.group()):
            beside = before[-1:] in tuple("\"'`“‘:=") or _OPENS_A_CALL.match(after)
            if plain or not beside:
                continue
        yield place, plain


def is_word(name: str) -> bool:
    """Whether a name may be an ordinary word of a sentence."""
    return name.isalpha() and name.islower()


def word_as_tool(text: str, names: Collection[str]) -> tuple[int, str] | None:
    """The first place where a name that is an ordinary word is spoken of as a tool (``the tool
    search``, ``use search with``), and the name; or None.
    """
    pattern = _words(tuple(sorted(filter(is_word, names))))
    for place in pattern.finditer(text) if pattern else ():
        before = text[max(0, place.start() - _TOOL_WORDS_REACH) : place.start()]
        if _TOOL_WORD_BEFORE.search(before) or _TOOL_WORD_AFTER.match(text, place.end()):
            return place.start(), place.group()
        if place.group().islower() and _SENTENCE_BEGINS.search(before):
            return place.start(), place.group()
    return None


@functools.lru_cache(maxsize=64)
def _words(names: tuple[str, ...]) -> re.Pattern[str] | None:
    pattern = _names(names)
    return re.compile(pattern.pattern, re.IGNORECASE) if pattern else None


def other_spellings(text: str, tool_names: Collection[str]) -> Iterator[Spelling]:
    """Where a tool is named in another spelling: other case, letters apart, words joined otherwise.

    The letters of the whole text are compared first, since a text that does not have those of a
    name has it in no spelling.
    """
    letters = _OTHER_THAN_LETTERS.sub("", text).casefold()
    for name in tool_names:
        bare = _OTHER_THAN_LETTERS.sub("", name).casefold()
        if not bare or bare not in letters:
            continue
        tokens = [token.casefold() for token in _TOKEN.findall(name)]
        for place in _apart(bare).finditer(text):
            found = place.group()
            if found == name:
                continue
            pieces = [piece.casefold() for piece in re.findall(r"[^\W_]+", found)]
            if len(tokens) < 2:
                gaps = re.findall(r"[\W_]+", found)
                shouted = not gaps and len(bare) > 2 and found.isupper()
                if not gaps and not shouted:
                    continue
                if gaps and len(pieces) < len(bare) and all(gap.isspace() for gap in gaps):
                    continue
                yield Spelling(place.start(), name, words=False)
                continue
            joined = re.findall(r"[\W_]+", found)
            words = pieces == tokens and all(gap in (" ", "-", "\n") for gap in joined)
            yield Spelling(place.start(), name, words)


@functools.lru_cache(maxsize=512)
def _apart(letters: str) -> re.Pattern[str]:
    """Finds letters with up to three other characters between two."""
    spelled = r"[\W_]{0,3}+".join(map(re.escape, letters))
    word = "[A-Za-z0-9]" if letters.isascii() else r"[^\W_]"
    return re.compile(f"(?<!{word}){spelled}(?!{word})", re.IGNORECASE)
