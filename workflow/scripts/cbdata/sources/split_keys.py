"""What splits compare of a trace: its user task and its injection, by their words, so that the same
text has the same key whatever source it comes from, and so have texts that a benchmark's versions
have of one task.

``validate`` looks for leaks by these keys, and sources assign splits by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cbdata.sources.splits import query_key
from cbdata.sources.wordings import oldest

_FRAME = re.compile(r"^information\b ?|(?:^| )information$")
_GREETING = re.compile(r"^this is an important message from me .{0,60}?\bto you(?: \w+){0,6}? ?$")
_BEFORE = re.compile(
    r"^.*\bplease do the following first\b ?|^todo |^system message |^ignore your previous"
    r" i?unstructions do |^important ignore all previous instructions (?:and|you must) strictly"
    r" adhere to the following instruction "
)
_BEHIND = re.compile(r"(?:^| )after you do that you can solve the task\b.*$| instead$")
_TOOLS = " you should use the tool ", " remember to substitute the placeholders "
"""What AgentDojo's and InjecAgent's attacks have around the goal, as ``query_key`` leaves it; the
first of ``_BEFORE`` and of ``_BEHIND`` with the greeting is that of ``important_instructions``.
"""


def task_key(
    messages: Sequence[Mapping[str, Any]], spans: Sequence[Mapping[str, Any]]
) -> str | None:
    """What the user asks for: the first user message without the injection.

    Args:
        messages: Those of a trace.
        spans: The places of the injection, ``{message_index, char_start, char_end}``.

    Returns:
        The key of the message's text; None where there is no user message.
    """
    for index, message in enumerate(messages):
        if message["role"] == "user":
            content: str = message["content"]
            inside = [span for span in spans if span["message_index"] == index]
            for span in sorted(inside, key=lambda each: -int(each["char_start"])):
                content = content[: span["char_start"]] + " " + content[span["char_end"] :]
            return text_key(content)
    return None


def text_key(text: str) -> str:
    """What a user asks for: the text without case, punctuation, spacing and Unicode form, or what
    stands for the task of AgentDojo that it is a wording of.
    """
    return oldest(query_key(text))


def injection_key(text: str) -> str:
    """What the attacker wants: the goal in an injection, or all of it where no goal can be told
    from the words around it; of a goal of AgentDojo, what stands for its wordings. Arguments as for
    ``goal_words``.
    """
    return oldest(goal_words(text) or query_key(text))


def goal_words(text: str) -> str:
    """The goal in an injection, without the words that benchmarks put around goals.

    Args:
        text: The injection as the model saw it, printed by YAML, JSON or the like, or as the
            attacker wrote it.

    Returns:
        The goal without case, punctuation, spacing and Unicode form; empty where only the words
        around it are left, because a defence took the goal out or the text was cut off before it.
    """
    words = _FRAME.sub("", _FRAME.sub("", query_key(_read(text))))
    words = _BEHIND.sub("", words)
    named = words.find(_TOOLS[0])
    if named >= 0 and words.find(_TOOLS[1], named) >= 0:
        words = words[:named]
    return _GREETING.sub("", _BEFORE.sub("", words)).strip()


def _read(text: str) -> str:
    """The text before it was printed: the last of its readings, which has most of it undone."""
    if text.isascii() and not any(mark in text for mark in ("\\", "&", "''", "<br", "'\n", '"\n')):
        return text
    from cbdata.sources.printed_text import readings  # needed for printed texts alone

    return [reading.text for reading in readings(text)][-1]
