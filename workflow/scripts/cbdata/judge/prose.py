"""Whether prose is clean: nothing in it could be a call, a definition, reasoning or a refusal.

The text beside a call is where a label goes wrong: a refusal that quotes the call, a second call in
a notation that is not the model's, an example, a log. So these patterns are wider than any
notation, and what they find by mistake costs a completion and not a label.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from cbdata.call_formats.base import MARK, any_of
from cbdata.call_formats.registry import KNOWN_MARKERS

_QUOTE = "[\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb]"

_REFUSALS = re.compile(
    r"\b(?:"
    r"i(?:['’]m| am) (?:sorry|unable|not able|not comfortable|not going to)"
    r"|i (?:can(?:no|['’])t|cannot|can not|won['’]t|will not|must decline|have to"
    r" decline|refuse)\b(?! (?:find|see|wait)\b)"
    r"|i apologi[sz]e"
    r"|(?:can(?:no|['’])t|cannot|won['’]t|unable to) (?:help|assist|comply|fulfil|fulfill|do"
    r" that|provide|process (?:this|that|your))"
    r"|against my (?:guidelines|programming|policy)"
    r"|as an ai\b"
    r")",
    re.IGNORECASE,
)
_REFUSAL_WINDOW = 400

_DECLINES = re.compile(
    r"\bi (?:should|do|did|have|would|could|am)(?:n['’]t| not)\b"
    r"(?! (?:find|see|have|know|think|need|wait|sure|yet)\b)"
    r"|\b(?:i|i['’]ll|i['’]m|will|have|am|be) (?:ignor|disregard|declin|refus|reject|skipp)"
    r"(?:e|ed|ing)?\b"
    r"|\b(?:nothing|none) (?:was|will be|is|of (?:it|them|this|that))\b",
    re.IGNORECASE,
)

# Any negation or apology will do: what a language says around it is not known here.
_NO_ELSEWHERE = re.compile(
    r"\b(?:"
    r"nicht|kein\w{0,10}|niemals|nein|leider|verweiger\w*|lehne|entschuldig\w*"  # German
    r"|ne|n['’](?:ai|est|irai|exécuterai)|pas|jamais|refus\w*|désolée?s?|malheureusement"  # French
    r"|no (?:puedo|voy|debo|haré|seguiré|es|lo)|lo siento|jamás|nunca|rechaz\w*"  # Spanish
    r"|não|desculp\w*|infelizmente|recus\w*"  # Portuguese
    r"|non(?!-)|mi dispiace|purtroppo|rifiut\w*"  # Italian
    r"|niet|geen|helaas|weiger\w*"  # Dutch
    r"|nie|odmawiam|przepraszam|niestety"  # Polish
    r"|не|нет|нельзя|никогда|отказ\w*|извин\w*|прост(?:ите|и)|ні|відмовля\w*"  # Russian, Ukrainian
    r"|tidak|bukan|maaf|không|xin lỗi|değil|üzgünüm|özür|hayır|\w+(?:amam|emem|mayacağım|meyeceğim)"
    r"|inte|ikke|tyvärr|beklager|ei|en (?:voi|aio)|nem|ne mohu|odmítám"
    r")\b"
    r"|[不没沒无無勿拒別别]|抱歉|对不起|對不起"  # Chinese
    r"|ません|ない|かねます|申し訳|すみません|お断り|拒否"  # Japanese
    r"|없|않|안 |못|죄송|거부|거절"  # Korean
    r"|(?<!\w)(?:لا|لن|لم|ليس|آسف|أعتذر|أرفض|नहीं|नही|मत|क्षमा|माफ़)(?!\w)",  # Arabic, Hindi
    re.IGNORECASE,
)

# What makes of the call behind it a quotation, an example or something that was not done.
_DOUBTS = (
    ("a refusal", _REFUSALS),
    ("prose that turns something down", _DECLINES),
    ("a refusal in another language, it may be", _NO_ELSEWHERE),
    (
        "prose that speaks of an injection or an attack",
        re.compile(
            r"\b(?:inject(?:ed|ion|ions)?|hijack\w*|malicious\w*|attack(?:er)?s?|payload|jailbreak"
            r"|phishing|exploit\w*|suspicious\w*|untrusted|tamper\w*|manipulat\w*|trick(?:ed|ing)?"
            r"|hidden|embedded)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "prose that reports what a text asks for",
        re.compile(
            r"\b(?:comment|page|note|text|document|message|html|site|website|e-?mail|file|content"
            r"|instruction|block|snippet|script|prompt|markup|tag|code)s?\b[^.!?\n]{0,60}?"
            r"\b(?:asks?|wants|want (?:me|us|you)|tells?|tries to|trying to|demands|instructs?"
            r"|(?:says?|said) (?:to|i|that i|you)|(?:requests?|orders?|urges?) (?:me|us|you|that))"
            r"\b",
            re.IGNORECASE,
        ),
    ),
    (
        "prose that makes of the call an example or an offer",
        re.compile(
            r"\b(?:for (?:example|instance)|an example|usage|syntax|hypothetical\w*"
            r"|like (?:this|so)"
            r"|shall i|should i|do you want|would you like|instead of|rather than"
            r"|you (?:can|could|may|might|would) (?:send|call|use|run|write|try)"
            r"|(?:would|could|might|should)(?:n['’]t| not)? (?:have|call|use|send|run|emit|issue)"
            r"|not (?:this|that|the) (?:one|call)|never (?:call|use|run|send)"
            r"|(?:do|does|did)(?:n['’]t| not) (?:call|use|run|send))\b"
            r"|\be\.g\.|(?:\A|[.!?\n]\s{0,4})if ",
            re.IGNORECASE,
        ),
    ),
)

_SYNTAX = (
    ("a marker of a call format", re.compile(any_of(KNOWN_MARKERS))),
    ("a control token", re.compile(
        r"<[|｜][^<>|｜\n]{1,60}[|｜]>|<[|｜]|[|｜]>|<(?:start|end)_of_turn>"
    )),
    ("markup of a call or of reasoning", re.compile(
        r"<(?=[/\w\s:.-])/?\s*+[\w:.-]{0,40}?(?:tool|function|invoke|parameter|argument|action|thinking|thought"
        r"|think|reason|scratchpad|reflect|plan)"
        r"|\[/?(?:TOOL|ARG|CALL|THINK|AVAILABLE|INST|FUNC|ACTION)[A-Z_]{0,30}\]",
        re.IGNORECASE,
    )),
    ("braces", re.compile(r"[{}\uff5b\uff5d]")),
    ("a code fence", re.compile(r"```|~~~")),
    ("a line that announces a call", re.compile(
        r"^[ \t>*_#-]{0,8}(?:action(?: input)?|tool(?:[ _-]?(?:call|name|use))?|function(?:[ _-]?"
        r"(?:call|name))?|call|invoke|execute|arguments?|parameters?|recipient|to)"
        r"[ \t*_`]{0,4}[:=]|\bto=\w",
        re.IGNORECASE | re.MULTILINE,
    )),
    ("code that calls something", re.compile(
        r"(?<![\w.])[A-Za-z_][\w.]{0,80}\s?\(\s{0,4}(?:\)|[A-Za-z_]\w{0,60}\s{0,4}[=:](?!=)|"
        + _QUOTE + r")|(?<![\w.])[A-Za-z]\w{0,80}_\w{0,80}\s?\("
    )),
)  # fmt: skip


class Unclean(NamedTuple):
    """What is wrong with prose: the place in it (code points) and why."""

    at: int
    reason: str


def is_refusal(text: str) -> bool:
    """Whether prose reads as a refusal: first-person phrases in its first 400 characters. A label
    for the stats, nothing depends on it.
    """
    return _REFUSALS.search(text[:_REFUSAL_WINDOW]) is not None


def call_syntax(text: str, shape: str, tool_names: Collection[str]) -> Unclean | None:
    """The first thing in a text that could be a call or a part of one, in any notation, or None.

    Args:
        text: prose.
        shape: the same stretch of the view's shape, where markers have ``MARK``.
        tool_names: the tools there are.
    """
    found = _letters(text, tuple(tool_names))
    at = shape.find(MARK)
    if at >= 0 and (found is None or at < found.at):
        return Unclean(at, f"a control token: {text[at : at + 40]!r}")
    return found


@functools.lru_cache(maxsize=8)
def _letters(text: str, tool_names: tuple[str, ...]) -> Unclean | None:
    """``call_syntax`` of the text alone; kept, since all formats are asked about the same prose."""
    found = [
        Unclean(match.start(), f"{label}: {_shown(text, match)}")
        for label, pattern in _SYNTAX
        if (match := pattern.search(text))
    ]
    named = next((place for place, plain in _mentions(text, tool_names) if not plain), None)
    if named:
        found.append(Unclean(named.start(), f"a tool's name as in a call: {_shown(text, named)}"))
    return min(found, default=None)


def doubt(text: str, tool_names: Collection[str], called: Collection[str]) -> Unclean | None:
    """Why the prose before a call may make of it something else than a call, or None.

    A tool may be named in plain words only if the completion calls it: "I will use search_web"
    before another tool's call says that there are two minds, or two calls.
    """
    for label, pattern in _DOUBTS:
        if match := pattern.search(text):
            return Unclean(match.start(), f"{label}: {_shown(text, match)}")
    for place, _ in _mentions(text, tool_names):
        if place.group() not in called:
            return Unclean(place.start(), f"names a tool that is not called: {place.group()}")
    return None


@functools.lru_cache(maxsize=64)
def _names(tool_names: tuple[str, ...]) -> re.Pattern[str] | None:
    if not tool_names:
        return None
    longest_first = sorted(tool_names, key=lambda name: (-len(name), name))
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")


_BEFORE_PLAIN = re.compile(r"(?:\A|[^\s:=]\s+)(?:the\s)?[(*_`]{0,3}\Z")
_AFTER_PLAIN = re.compile(r"[*_`]{0,3}(?:['’]s\b)?(?:[.,;!?)](?:\s|\Z)|\s*:?\s*\Z|\s+(?![({\[=:]))")
_LINE_BEFORE = re.compile(r"(?:\A|\n)[ \t*_`#>-]{0,8}\Z")
_LINE_AFTER = re.compile(r"[ \t*_`]{0,8}(?:\n|\Z)")
_NEAR = 10
_OPENS_A_CALL = re.compile(r"\s{0,4}" + _QUOTE + r"?\s{0,4}[({\[<=:]")


def _mentions(text: str, tool_names: Collection[str]) -> Iterator[tuple[re.Match[str], bool]]:
    """Where a tool is named, and whether in plain words.

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
        word = place.group()
        if word.isalpha() and word.islower():
            beside = before[-1:] in tuple("\"'`“‘:=") or _OPENS_A_CALL.match(after)
            if plain or not beside:
                continue
        yield place, plain


def _shown(text: str, match: re.Match[str]) -> str:
    return repr(text[match.start() : match.start() + 40])
