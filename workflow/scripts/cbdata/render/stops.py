"""At which tokens a model stops, and what its headers begin with, as its template shows it.

An engine stops at a token wherever a model writes it. So a token that ends an answer with nothing
behind it ends every turn, whatever the tokenizer calls its end of sequence (base models name
another one); so does one that ends a turn of calls. A token that ends answers in the middle of a
conversation alone does not: gpt-oss ends its last message with ``<|return|>``, and writes on behind
``<|end|>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cbdata.call_formats.registry import CALL_MARKERS
from cbdata.rejects import Reject
from cbdata.render.apart import end_before_header
from cbdata.render.placing import Found, gather
from cbdata.render.probes import ANSWER, CALL, THINKING, TOOL, TWO_CALLS, USER, Messages
from cbdata.render.runs import flatten
from cbdata.render.template import ChatTemplate
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.render.turns import Landmarks

THOUGHT: Mapping[str, Any] = {**ANSWER, **THINKING}


def with_stops(
    landmarks: Landmarks, template: ChatTemplate, tokenizer: PlainTokenizer
) -> Landmarks:
    """Add the tokens at which the model stops and the beginning of its headers to the landmarks."""
    # Some templates print the end of a turn when they ask for the next one.
    end = tokenizer.special.get("eos_token", "")
    asking = landmarks.generation_prompt.strip().removeprefix(end)
    head = _head(asking.strip(), tokenizer.pattern)
    last = _behind_last(template, tokenizer, [USER, ANSWER])
    called = _behind_last(template, tokenizer, [USER, CALL])
    stops = landmarks.answer_ends.intersection(last) if last else landmarks.answer_ends
    eos = {end} - {""}

    def tried(end: str) -> Landmarks:
        return replace(landmarks, turn_ends=frozenset(), stops=frozenset([end]), head=head)

    stops -= {end for end in stops - eos if end not in called and _writes_on(template, tried(end))}
    # Llama's <|eom_id|> ends calls, and no answers.
    ends_calls = {
        end
        for end in called[-1:]
        if end not in CALL_MARKERS
        and not end.startswith("</")
        and _calls_apart(template, tried(end))
    }
    return replace(landmarks, stops=stops | eos | ends_calls, head=head)


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
) -> list[str]:
    """The control tokens behind the own text of the last message, in order."""
    made = _rendered(template, messages)
    if made is None or made[1].own is None:
        return []
    text, mine = made
    assert mine.own is not None
    return [found.strip() for found in tokenizer.pattern.findall(text, mine.own[1])]


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


def _calls_apart(template: ChatTemplate, landmarks: Landmarks) -> bool:
    """Whether the template prints a call, the stop that is tried, and a header before another call:
    the stop ends the turn, and is no markup of the call.
    """
    made = _rendered(template, [USER, TWO_CALLS])
    if made is None:
        return False
    text, mine = made
    first = [*mine.names.get(0, ()), *mine.arguments.get(0, ())]
    second = [part.start for part in mine.names.get(1, ())]
    if not first or not second:
        return False
    start = max(part.end for part in first)
    return end_before_header(text, start, min(second), landmarks, stops=True) is not None
