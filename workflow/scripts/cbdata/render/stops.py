"""At which tokens a model stops, and what its headers begin with, as its template shows it.

An engine stops at a token wherever a model writes it. So a token that ends an answer with nothing
behind it ends every turn, whatever the tokenizer calls its end of sequence (base models name
another one). A token that ends answers in the middle of a conversation alone does not: gpt-oss ends
its last message with ``<|return|>``, and writes on behind ``<|end|>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cbdata.rejects import Reject
from cbdata.render.apart import end_before_header
from cbdata.render.placing import Found, gather
from cbdata.render.probes import ANSWER, CALL, THINKING, TOOL, USER, Messages
from cbdata.render.runs import flatten
from cbdata.render.template import ChatTemplate
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.render.turns import Landmarks

THOUGHT: Mapping[str, Any] = {**ANSWER, **THINKING}


def with_stops(
    landmarks: Landmarks, template: ChatTemplate, tokenizer: PlainTokenizer
) -> Landmarks:
    """Add the tokens at which the model stops and the beginning of its headers to the landmarks."""
    head = _head(landmarks.generation_prompt.strip(), tokenizer.pattern)
    last = _behind_last(template, tokenizer, [USER, ANSWER])
    stops = landmarks.answer_ends & last if last else landmarks.answer_ends
    eos = {tokenizer.special.get("eos_token", "")} - {""}
    for end in sorted(stops - eos):
        tried = replace(landmarks, turn_ends=frozenset(), stops=frozenset([end]), head=head)
        if _writes_on(template, tried) and end not in _behind_last(
            template, tokenizer, [USER, CALL]
        ):
            stops -= {end}
    return replace(landmarks, stops=stops | eos, head=head)


def _head(prompt: str, pattern: re.Pattern[str]) -> str:
    """The control token with which a prompt begins; without one, the letters before the first one,
    or its first line.
    """
    found = pattern.search(prompt)
    if found and not found.start():
        return found.group().strip()
    return prompt[: found.start() if found else None].partition("\n")[0].strip()


def _rendered(template: ChatTemplate, messages: Messages) -> tuple[str, Found] | None:
    """What the template prints for messages, and what is known of the last one."""
    for tools in (None, [TOOL]):
        with suppress(Reject):
            text, parts = template.render(messages, tools)
            return text, gather(flatten(parts, len(text)), len(messages))[-1]
    return None


def _behind_last(
    template: ChatTemplate, tokenizer: PlainTokenizer, messages: Messages
) -> frozenset[str]:
    """The control tokens behind the own text of the last message."""
    made = _rendered(template, messages)
    if made is None or made[1].own is None:
        return frozenset()
    text, mine = made
    assert mine.own is not None
    return frozenset(found.strip() for found in tokenizer.pattern.findall(text, mine.own[1]))


def _writes_on(template: ChatTemplate, landmarks: Landmarks) -> bool:
    """Whether the template prints reasoning, the stop that is tried, and a header: a model that is
    asked for an answer begins with its reasoning, and is not asked again (Solar).
    """
    for messages in ([USER, THOUGHT], [USER, {**CALL, **THINKING}]):
        made = _rendered(template, messages)
        if made is None:
            continue
        text, mine = made
        named = [part for some in mine.names.values() for part in some]
        thought = [part.end for part in mine.thinking if part.start < part.end]
        starts = [part.start for part in (*mine.content, *named) if part.start < part.end]
        if thought and starts:
            found = end_before_header(text, max(thought), min(starts), landmarks, stops=True)
            if found is not None:
                return True
    return False
