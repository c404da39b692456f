"""Whether the prose beside a call is plain text: sentences, and nothing that a reader could take
for code, markup, a table, a command, or letters in disguise.

Notations for calls are without number, so these patterns know none by name. They know what plain
sentences have no use for. A sentence that they stop by mistake costs a completion and not a label.
"""

from __future__ import annotations

import re

# A word of two alphabets looks like one word and is another: Cyrillic, Greek and phonetic letters,
# and marks put on a letter, next to an ASCII one.
_ASCII = "[A-Za-z_]"
_LOOKALIKE = "[\u0250-\u02af\u0300-\u058f\u1d00-\u1dbf\u20d0-\u20f0\ua720-\ua7ff\ufe00-\ufe0f]"
_FORMAT = "\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_CODE_WORD = r"[A-Za-z][\w.-]{0,60}"

NOT_PLAIN = (
    (
        "an invisible character",
        re.compile(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
            + _FORMAT
            + "\ud800-\uf8ff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U0010ffff]"
            "|(?<=[\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?=[\x00-\x7f])"
        ),
    ),
    (
        "letters in disguise",
        re.compile(
            f"{_ASCII}{_LOOKALIKE}|{_LOOKALIKE}{_ASCII}|[\u1d00-\u1dbf\u0250-\u02af]{{2}}"
            "|[\uff10-\uff19\uff21-\uff3a\uff3f\uff41-\uff5a\u24b6-\u24e9\u2460-\u249b"
            "\U0001d400-\U0001d7ff\U0001f130-\U0001f189\u2070-\u209c\u2100-\u214f]{2}"
        ),
    ),
    (
        "an escape",
        re.compile(r"\\|&(?:#\w{1,8}|[A-Za-z]\w{1,30});|U\+[0-9A-Fa-f]{4}|(?:%[0-9A-Fa-f]{2}){2}"),
    ),
    (
        "markup",
        re.compile(
            r"<\s{0,3}[A-Za-z/!?|]|[A-Za-z/|]\s?/?>|[\uff1c\uff1e\u2039\u203a\u3008\u3009\u300a\u300b"
            r"\u3010\u3011\u25c1\u25b7\u27e8\u27e9|\uff5c\u2502]|\[(?!\d{1,3}\])|(?<!\[\d)(?<!\[\d\d)(?<!\[\d{3})\]"
        ),
    ),
    (
        "code",
        re.compile(
            # name(...), but not chart(s)
            r"(?<![\w.])[A-Za-z_][\w.]{0,80}[(\uff08](?!e?s\))[\w\"'.:$*-]"
            # (name "..."), (name :key), ("key": ...)
            r"|\(\s{0,3}" + _CODE_WORD + r"\s{1,3}[\"':]|[\"'“”]\w{1,60}[\"'“”]\s{0,3}"
            r"[:,]\s{0,3}[\"'“]"
            r"|[\"“]\w{1,60}[\"”]\s{0,3}:"
            # key=value; 3 x 4 = 12 is none
            r"|(?<![\d\s)])\s{0,3}[=\uff1d](?!\s{0,3}[\d=])|={2}|:="
            r"|;[ \t]{0,4}(?:\n|\Z)|/\*|\*/|(?<![:\w/])//(?!/)|'''|\"\"\""
            r"|[-=~]>|<-|[\u2190-\u21ff\u27f0-\u27ff]|>>|[\u00bb\u25b6\u2794\u279c]\s?\w"
            r"|\$\(|\$\{|\{\{|::|~~"
        ),
    ),
    (
        "a line that names a speaker",
        re.compile(
            r"^[ \t>*_#-]{0,8}(?:user|human|assistant|system|tool|model|ai|bot)[ \t*_]{0,4}"
            r"(?:[:\uff1a]|$)",
            re.IGNORECASE | re.MULTILINE,
        ),
    ),
    ("a line without a word", re.compile(r"(?:\A|\n)(?:[^\w\n]|[\d_])*+\Z")),
    (
        "code in backticks",
        re.compile(r"`[^`\n]{0,80}[^`\w\n.-][^`\n]{0,80}`"),
    ),
    (
        "a command",
        re.compile(
            r"(?:(?<=\s)|(?<=[(`\"'])|\A)(?:[!@$%~]\s?[A-Za-z_][\w-]*+|/[A-Za-z][\w-]*+(?![\w/.-])"
            r"|--?[A-Za-z][\w-]*+)"
            r"|^[ \t]{0,8}[>$%»] ?\w"
            r"|#[A-Za-z]|(?<!\w)[A-Za-z]\w*+://(?<!http://)(?<!https://)"
            r"|\b(?:curl|wget|GET|POST|PUT|DELETE|PATCH|HEAD|CALL|EXEC|EXECUTE|SELECT|INSERT"
            r"|INVOKE) +\S",
            re.MULTILINE,
        ),
    ),
    (
        "data",
        re.compile(
            # key: value line by line, as in YAML; columns; indented code
            r"^[ \t]{0,8}(?:[-*+] +)?[*_`]{0,3}[a-z][\w-]*+[*_`]{0,3}[:\uff1a](?:[ \t]|\n)"
            r"|[:\uff1a][*_`]{0,3}\n[ \t]{1,16}[A-Za-z_][\w-]{0,60}[:\uff1a]"
            r"|\S\t+\S|^(?: {4,}|\t)(?![-*+•\d ])\S"
            r"|^[A-Za-z_][\w-]{0,60},[\w-]{1,60}(?:,[\w-]{1,60}){0,9}$",
            re.MULTILINE,
        ),
    ),
    (
        "the name of a marker",
        re.compile(
            r"\bunderscore\b|\b(?:tool|function)[-_]?calls?\b(?<!tool-call)(?<!function-call)"
            r"|\b(?:tool|function)[ _-]?(?:call|name|input|args?|arguments?) ?(?::|-|=|\uff1a"
            r"|\u2013|\u2014| is )|\b(?:using|use|call|calling) (?:tool|function)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "a line that gives an argument",
        re.compile(
            r"(?:^|[.!?] |, )[ \t>*_#-]{0,8}(?:action|tool|function|call|invoke|execute|run|name"
            r"|(?:action |tool )?input|query|q|args?|params?|arguments?|parameters?|recipient)"
            r"[ \t*_`]{0,4}(?:[:=\uff1a] ?|[-\u2013\u2014] )\S"
            r"|(?:工具|函数|函數|参数|參數|调用|調用|ツール|引数|도구|인수|أداة|инструмент|аргументы?)"
            r"\s{0,2}[:\uff1a]",
            re.IGNORECASE | re.MULTILINE,
        ),
    ),
)  # fmt: skip
"""What plain text has not, and how to find it."""

_URL = re.compile(r"https?://[!#-&*-;=?-Z_a-z~]++", re.IGNORECASE)


def not_plain(text: str) -> tuple[int, str] | None:
    """The first thing in a text that is no plain text: the place and what it is, or None. What
    stands in the address of a web page is part of it.
    """
    masked = _URL.sub(lambda url: url.group()[:8] + "u" * (len(url.group()) - 8), text)
    for what, pattern in NOT_PLAIN:
        if match := pattern.search(masked):
            return match.start(), what
    return None
