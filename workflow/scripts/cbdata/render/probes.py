"""What a chat template turns out to do when it is tried on small conversations."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cbdata.rejects import Reject
from cbdata.render.chat import TemplateFacts
from cbdata.render.placing import Found, gather
from cbdata.render.reasoning_forms import FORMS
from cbdata.render.runs import Run, flatten
from cbdata.render.settings import TokenizerError
from cbdata.render.tokenizer import PlainTokenizer
from cbdata.render.traced_text import Part
from cbdata.render.turns import Landmarks

if TYPE_CHECKING:
    from cbdata.render.template import ChatTemplate

Messages = Sequence[Mapping[str, Any]]

_WRITTEN_BLOCK = re.compile(r"""['"](?:text|thinking)['"]: ?['"]\Z""")

SYSTEM: Mapping[str, Any] = {"role": "system", "content": "probe system"}
USER: Mapping[str, Any] = {"role": "user", "content": "probe user"}
ANSWER: Mapping[str, Any] = {"role": "assistant", "content": "probe answer"}
RESULT: Mapping[str, Any] = {
    "role": "tool",
    "content": "probe result",
    "name": "probe_tool",
    "tool_call_id": "call00000",
}
CALL: Mapping[str, Any] = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"call_id": "call00000", "function": {"name": "probe_tool", "arguments": {"x": "y"}}}
    ],
}
TWO_CALLS: Mapping[str, Any] = {
    **CALL,
    "tool_calls": [
        *CALL["tool_calls"],
        {"call_id": "call00001", "function": {"name": "other_tool", "arguments": {"x": "y"}}},
    ],
}
OTHER_RESULT = {**RESULT, "name": "other_tool", "tool_call_id": "call00001"}
TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "d",
        "parameters": {"type": "object", "properties": {}},
    },
}
LONGER = [USER, ANSWER, USER, ANSWER, USER]
THINKING: Mapping[str, Any] = {"thinking": "probe reasoning"}


def _tries(
    template: ChatTemplate, conversations: Sequence[Messages]
) -> Iterator[tuple[str, list[Part], Messages]]:
    """What the template prints for conversations, with a system message before and without, with a
    tool to show and without: as far as it does not refuse.
    """
    for tools in (None, [TOOL]):
        for messages in conversations:
            for attempt in (messages, [SYSTEM, *messages]):
                try:
                    text, parts = template.render(attempt, tools)
                except Reject:
                    continue
                yield text, parts, attempt


def probe_facts(template: ChatTemplate, source: str) -> TemplateFacts:
    """What the template wants of its data.

    Args:
        template: The template; its own facts are changed while it is tried.
        source: Its text. A template that names tool calls is never given them as text.
    """
    facts = _facts_of_calls(template, source)
    for form in FORMS.values():
        template.facts = replace(facts, reasoning=form.name)
        if form.word in source and _prints_reasoning(template):
            return template.facts
    return facts


def _facts_of_calls(template: ChatTemplate, source: str) -> TemplateFacts:
    """All but the form of the reasoning; arguments as for ``probe_facts``."""
    template.facts = facts = TemplateFacts()
    if not _prints_contents(template):
        template.facts = replace(facts, blocks=True)
        if _prints_contents(template):
            facts = template.facts
    template.facts = facts
    tools_known = _wants_tools(template)
    for attempt in ([USER], [SYSTEM, USER]):
        try:
            tools_known = tools_known or "probe_tool" in template.render(attempt, [TOOL])[0]
        except Reject:
            continue
    facts = replace(facts, tools_known=tools_known)
    calls: list[Messages] = [[USER, CALL], [USER, CALL, RESULT, ANSWER]]
    for wanted in (
        replace(facts, leaves=False),
        facts,
        replace(facts, leaves=False, string_arguments=True),
        replace(facts, leaves=False, null_content=True),
        replace(facts, null_content=True),
        replace(facts, leaves=False, string_arguments=True, null_content=True),
    ):
        template.facts = wanted
        for _, parts, _ in _tries(template, calls):
            shown = {part.origin.kind for part in parts if part.start < part.end}
            if {"name", "arguments"} <= shown or {"id", "arguments"} <= shown:
                return wanted
    template.facts = facts
    shown = {part.origin.kind for _, parts, _ in _tries(template, calls) for part in parts}
    return replace(facts, calls_known="name" in shown or "tool_calls" in source)


def _prints_contents(template: ChatTemplate) -> bool:
    for text, parts, messages in _tries(template, [[USER, ANSWER]]):
        said = {part.origin.message for part in _unwritten(template, text, parts, "content")}
        if len(said) >= len(messages):
            return True
    return False


def _prints_reasoning(template: ChatTemplate) -> bool:
    """Whether the template prints the reasoning of an answer or of a call, and the answer too."""
    answer, call = {**ANSWER, **THINKING}, {**CALL, **THINKING}
    for text, parts, messages in _tries(template, [[USER, answer], [USER, call]]):
        last = len(messages) - 1
        for kind in ("thinking", "content")[: 2 - (messages[last] is call)]:
            said = {part.origin.message for part in _unwritten(template, text, parts, kind)}
            if last not in said:
                break
        else:
            return True
    return False


def _unwritten(
    template: ChatTemplate, text: str, parts: Sequence[Part], kind: str
) -> Iterator[Part]:
    """The stretches of a kind, without those in a block of a content that a template which knows no
    blocks writes out as it is.
    """
    blocks = template.facts.blocks or FORMS[template.facts.reasoning].in_blocks
    for part in parts:
        before = text[max(part.start - 16, 0) : part.start]
        written = blocks and _WRITTEN_BLOCK.search(before)
        if part.origin.kind == kind and part.start < part.end and not written:
            yield part


def _wants_tools(template: ChatTemplate) -> bool:
    """Whether the template works with a list of tools alone."""
    try:
        template.render([USER], None)
    except Reject:
        try:
            template.render([USER], [TOOL])
        except Reject:
            return False
        return True
    return False


def _last_controls(
    text: str, runs: Sequence[Run], found: Sequence[Found], tokenizer: PlainTokenizer
) -> dict[int, str]:
    """The last control token after the text of each message that a loop over the messages
    printed.
    """
    ends = {}
    for index, mine in enumerate(found):
        if mine.own and mine.visited:
            tokens = tokenizer.pattern.findall(text, mine.own[1], max(mine.visited[-1][1], 0))
            if tokens:
                ends[index] = tokens[-1].strip()
    return ends


def _spelled_end(template: ChatTemplate, tokenizer: PlainTokenizer, tools: Any) -> str:
    """The letters that the template prints behind an answer's own text; empty where it prints
    nothing or a control token there.
    """
    text, parts = template.render(LONGER, tools)
    mine = gather(flatten(parts, len(text)), len(LONGER))[LONGER.index(ANSWER)]
    if not mine.own or not mine.visited:
        return ""
    end = text[mine.own[1] : max(mine.visited[-1][1], mine.own[1])]
    return end.strip() if tokenizer.pattern.search(end) is None else ""


def _content_close(template: ChatTemplate, tokenizer: PlainTokenizer, tools: Any) -> str:
    """What the template prints behind an answer's content before the token that ends it, as far as
    it does so before calls, too.
    """
    text, parts = template.render(LONGER, tools)
    mine = gather(flatten(parts, len(text)), len(LONGER))[LONGER.index(ANSWER)]
    if not mine.own or not mine.visited:
        return ""
    behind = text[mine.own[1] : max(mine.visited[-1][1], mine.own[1])]
    tokens = [*tokenizer.pattern.finditer(behind)]
    close = behind[: tokens[-1].start()].rstrip() if tokens else ""
    if not close:
        return ""
    for text, parts, messages in _tries(template, [[USER, {**CALL, **ANSWER}]]):
        said: list[Part] = []
        with suppress(Reject):
            said = gather(flatten(parts, len(text)), len(messages))[-1].content
        if said:
            before_calls = text[said[-1].end :]
            common = os.path.commonprefix([close, before_calls])  # noqa: RUF071 (no paths)
            if common == close:
                return close
            ends = [match.end() for match in tokenizer.pattern.finditer(common)]
            # No tag is cut through.
            tags = max(common.rfind(bracket) + 1 for bracket in ">]})")
            return common[: max([tags, *ends])].rstrip()
    return close


def _ends(
    template: ChatTemplate, messages: Messages, tokenizer: PlainTokenizer, tools: Any = None
) -> dict[int, str]:
    text, parts = template.render(messages, tools)
    runs = flatten(parts, len(text))
    return _last_controls(text, runs, gather(runs, len(messages)), tokenizer)


def _call_markup(template: ChatTemplate, tokenizer: PlainTokenizer) -> tuple[str, str]:
    """What the template prints before the first own character of a call that stands behind another
    one, and what it prints behind the last one of a call that another one follows.
    """
    short: list[Messages] = [[USER, TWO_CALLS]]
    conversations = [*short, [*short[0], RESULT, OTHER_RESULT, ANSWER]]
    for text, parts, messages in _tries(template, conversations):
        try:
            found = gather(flatten(parts, len(text)), len(messages))
        except Reject:
            continue
        mine = found[messages.index(TWO_CALLS)]
        own = [*mine.names.get(0, ()), *mine.arguments.get(0, ()), *mine.ids.get(0, ())]
        later = [*mine.names.get(1, ()), *mine.arguments.get(1, ()), *mine.ids.get(1, ())]
        if not own or not later:
            continue
        start, limit = max(part.end for part in own), min(part.start for part in later)
        behind = text[max(part.end for part in later) :]
        before = text[: min(part.start for part in own)]
        opening, close = _repeated(before, text[start:limit], behind, tokenizer)
        stops = [high for low, high in mine.scopes.get(0, ()) if start <= low and high <= limit]
        if stops:
            marked = _closing(text[start : max(stops)].rstrip(), behind, tokenizer)
            if not close.startswith(marked):
                return "", marked
        if close:
            return opening, close
    return "", ""


def _repeated(before: str, between: str, behind: str, tokenizer: PlainTokenizer) -> tuple[str, str]:
    """The opening and the closing that stand between two calls, if the first one begins with the
    same opening and the second one ends with the same closing; empty where they do not.
    """
    backwards = [before[::-1], between[::-1]]
    length = len(os.path.commonprefix(backwards))  # noqa: RUF071 (no paths)
    cuts = (
        match.end()
        for match in tokenizer.pattern.finditer(between)
        if match.start() < len(between) - length < match.end()
    )
    opening = between[next(cuts, len(between) - length) :].lstrip()
    close = between[: len(between) - len(opening)].rstrip()
    return (opening, close) if opening and close and behind.startswith(close) else ("", "")


def _closing(close: str, behind: str, tokenizer: PlainTokenizer) -> str:
    """Of what is printed for a call behind its own characters, what the last call has as well: the
    calls' own, and not what stands between two.
    """
    common = os.path.commonprefix([close, behind])  # noqa: RUF071 (no paths)
    for marker in tokenizer.pattern.finditer(close):
        if marker.start() < len(common) < marker.end():  # letters of two markers are no close
            return common[: marker.start()].rstrip()
    return common.rstrip() or close


def probe_landmarks(template: ChatTemplate, tokenizer: PlainTokenizer) -> Landmarks:
    """What the template adds for the model to answer, how it ends turns and whether it starts a
    sequence with a BOS.

    Raises TokenizerError for a template that renders not even one question and answer.
    """
    for tools in (None, [TOOL]):
        try:
            plain, _ = template.render(LONGER, tools)
            prompted, _ = template.render(LONGER, tools, generation_prompt=True)
            by_index = _ends(template, LONGER, tokenizer, tools)
            break
        except Reject as error:
            refused = error
    else:
        raise TokenizerError(
            f"chat template {template.name} refuses a plain conversation of a user and an"
            f" assistant: {refused.detail}"
        ) from refused
    ends = set(by_index.values())
    answers = {token for index, token in by_index.items() if LONGER[index] is ANSWER}
    with suppress(Reject):  # some print the end of an answer with the next message, if there is one
        alone = _ends(template, [USER, ANSWER], tokenizer, tools)
        answers |= {token for index, token in alone.items() if index == 1}
    ends |= answers
    with suppress(Reject):  # it may refuse tool calls; a trace with one says so
        ends |= set(_ends(template, [USER, CALL, RESULT, ANSWER], tokenizer).values())
    bos = tokenizer.special.get("bos_token", "")
    if bos and not (plain.startswith(bos) and plain.count(bos) == 1):
        if plain.startswith(bos * 2):
            raise TokenizerError(
                f"chat template {template.name} prints {bos} twice. Hint: correct the template"
            )
        bos = ""
    opening, close = _call_markup(template, tokenizer)
    return Landmarks(
        prompted[len(plain) :] if prompted.startswith(plain) else "",
        frozenset(ends),
        bos,
        template.reasons,
        frozenset(answers),
        close,
        spelled_end=_spelled_end(template, tokenizer, tools),
        call_open=opening,
        content_close=_content_close(template, tokenizer, tools),
    )
