"""Where a model's own text begins and ends in a rendered conversation, found with transformers and
unique words alone.

A model begins where the text that asks for its answer ends. It stops with the control token that
ends its turn: the last one that the template prints of the turn when nothing follows it, else the
first one of the next turn's header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from conversations import Conversation
from reference import Reference, Refused

REASONING = re.compile(r"think|THINK|analysis|reason|RESPONSE|<channel\|>|<\|channel>thought")
WHITE = re.compile(r"\s*")
HEADER = 80  # characters; the longest header before a message
OPENED = re.compile(r"\s*(?:<think>|\[THINK\]|<seed:think>|<\|START_THINKING\|>)\s*\Z")


@dataclass(frozen=True)
class OwnText:
    """The characters of an assistant turn that a model writes.

    Attributes:
        message: Index of the message.
        begin: Where its own text begins; None where that cannot be told.
        first: Where its first word or tool name stands.
        last: Behind its last word or tool name.
        ends: Where it may end; empty where that cannot be told.
    """

    message: int
    begin: int | None
    first: int
    last: int
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Printed:
    """A rendered conversation with the places of its words and tool names.

    Attributes:
        text: What transformers prints.
        places: Where each word stands, by the word; more than one place where it is printed twice.
        anchors: First and last character of what each message says, by message; without reasoning.
    """

    text: str
    places: Mapping[str, tuple[int, ...]]
    anchors: Mapping[int, tuple[int, int]]


def locate(conversation: Conversation, text: str) -> Printed:
    """Find the words of a conversation in its text."""
    places = {
        word.text: tuple(match.start() for match in re.finditer(word.text, text))
        for word in conversation.words
    }
    anchors: dict[int, tuple[int, int]] = {}
    for word in conversation.words:
        found = places[word.text]
        if not found or word.kind == "thinking":
            continue
        start, end = found[0], found[0] + len(word.text)
        if word.kind == "call":
            name = conversation.messages[word.message]["tool_calls"][word.call]["function"]["name"]
            before = max(
                (at + len(w) for w, ats in places.items() for at in ats if at < start), default=0
            )
            at = text.find(name, before, start)
            start = at if at >= 0 else start
        low, high = anchors.get(word.message, (start, end))
        anchors[word.message] = min(low, start), max(high, end)
    return Printed(text, places, anchors)


def own_texts(
    conversation: Conversation, printed: Printed, reference: Reference, *, tools: bool
) -> list[OwnText]:
    """The model's own text of every assistant turn that can be told.

    Args:
        conversation: With words.
        printed: Its whole rendering.
        reference: Renders its beginnings.
        tools: Whether the tools are shown.
    """
    shown = conversation.tools if tools else ()
    # What begins a turn ends none.
    usual = _usual_prompt(conversation, reference, shown)
    headers = _header_tokens(conversation, reference, shown)
    control = _pattern(reference.control - headers)
    begins = _pattern(headers)
    tokens = _pattern(reference.control)
    plain_ends: set[str] = set()
    tails: list[tuple[int, str, bool]] = []
    messages = conversation.messages
    for index, message in enumerate(messages):
        if message["role"] != "assistant" or index not in printed.anchors:
            continue
        tail = _own_tail(messages[: index + 1], printed, reference, index, shown, tokens)
        if tail is None:
            continue
        calls = bool(message.get("tool_calls"))
        started = begins.search(tail)
        tail = tail[: started.start()] if started else tail
        tails.append((index, tail, calls))
        found = control.findall(tail)
        if not calls and found:
            plain_ends.add(found[-1])
    # Conversations whose answers all have calls: the tokenizer's end of sequence
    plain_ends |= {str(reference.tokenizer.eos_token)} if not plain_ends else set()
    no_plain = not any(control.search(tail) for _, tail, calls in tails if not calls)
    any_plain = any(not calls for _, _, calls in tails)
    # Some templates end answers in letters
    spelled = any_plain and no_plain and any(tail.strip() for _, tail, calls in tails if not calls)
    found_turns = []
    for index, tail, calls in tails:
        first, last = printed.anchors[index]
        found_turns.append(
            OwnText(
                index,
                _behind_header(
                    printed.text,
                    _begin(messages[:index], printed, reference, index, shown),
                    first,
                    usual if _asks_for_nothing(messages[:index], reference, shown) else "",
                ),
                first,
                last,
                _ends(
                    printed.text,
                    last,
                    tail,
                    control,
                    plain_ends,
                    calls=calls,
                    unmarked=any_plain and no_plain,
                    goes_on=_goes_on(messages, printed, last),
                )
                if not spelled
                else (last + len(tail.rstrip()),),
            )
        )
    return found_turns


def _header_tokens(
    conversation: Conversation, reference: Reference, shown: Sequence[Mapping]
) -> set[str]:
    """The control token with which the template begins to ask for an answer, if there is one."""
    index = next(i for i, each in enumerate(conversation.messages) if each["role"] == "assistant")
    before = conversation.messages[:index]
    try:
        plain = reference.text(before, shown)
        asked = reference.text(before, shown, asking=True)
    except Refused:
        return set()
    control = _pattern(reference.control)
    # Some templates print a part of the header, or all of it, whether they are asked or not: what
    # begins the question too, with something behind it.
    first = min(_places(conversation, plain), default=0)
    begun = set(control.findall(plain, max(first - HEADER, 0), first))
    behind = list(control.finditer(plain, max(_said(conversation, plain), 0)))[1:]
    shared = [each for each in behind if each.group() in begun][-1:]
    if shared and plain[shared[0].end() :].strip():
        return {shared[0].group()}
    if asked.startswith(plain) and asked != plain:
        return set(control.findall(asked[len(plain) :])[:1])
    # Some templates always ask: that is what follows the end of the last message.
    said = _said(conversation, asked)
    return set(control.findall(asked, said)[1:2]) if said >= 0 else set()


def _places(conversation: Conversation, text: str) -> list[int]:
    """Where words of a conversation stand in a text."""
    return [at for word in conversation.words if (at := text.find(word.text)) >= 0]


def _said(conversation: Conversation, text: str) -> int:
    """Where the last word of a conversation stands in a text; -1 where there is none."""
    return max((text.rfind(word.text) for word in conversation.words), default=-1)


def _usual_prompt(
    conversation: Conversation, reference: Reference, shown: Sequence[Mapping]
) -> str:
    """What the template adds to ask for the first answer."""
    index = next(i for i, each in enumerate(conversation.messages) if each["role"] == "assistant")
    before = conversation.messages[:index]
    try:
        plain = reference.text(before, shown)
        asked = reference.text(before, shown, asking=True)
    except Refused:
        return ""
    return asked[len(plain) :] if asked.startswith(plain) else ""


def _asks_for_nothing(
    before: Sequence[Mapping], reference: Reference, shown: Sequence[Mapping]
) -> bool:
    """Whether the template adds nothing to ask for an answer, as behind an answer."""
    if before[-1]["role"] == "assistant":
        return True
    try:
        return reference.text(before, shown) == reference.text(before, shown, asking=True)
    except Refused:
        return False


def _behind_header(text: str, begin: int | None, first: int, usual: str) -> int | None:
    """Where an answer begins for which the template asks with nothing: behind the text that it
    usually asks with, if it prints that there.
    """
    if begin is not None and usual.strip() and text.startswith(usual, begin, first):
        return begin + len(usual)
    return begin


def _own_tail(
    messages: Sequence[Mapping],
    printed: Printed,
    reference: Reference,
    index: int,
    shown: Sequence,
    control: re.Pattern[str],
) -> str | None:
    """What follows the turn's last word in the whole text and in the text that ends with it."""
    last = printed.anchors[index][1]
    word = next(
        word for word, ats in printed.places.items() if any(at + len(word) == last for at in ats)
    )
    try:
        alone = reference.text(messages, shown)
    except Refused:
        return None
    at = alone.rfind(word)
    if at < 0:
        return None
    one, other = alone[at + len(word) :], printed.text[last:]
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    # Two tokens may begin alike
    cut = [m.start() for m in control.finditer(other) if m.start() < length < m.end()]
    return other[: cut[0] if cut else length]


def _begin(
    messages: Sequence[Mapping], printed: Printed, reference: Reference, index: int, shown: Sequence
) -> int | None:
    """Where the text that asks for the turn ends in the whole text."""
    try:
        asked = reference.text(messages, shown, asking=True)
    except Refused:
        return None
    text, first = printed.text, printed.anchors[index][0]
    try:
        plain = reference.text(messages, shown)
    except Refused:
        return None
    if text.startswith(asked):
        # Some templates ask for nothing behind an answer; the next one begins behind its end.
        behind = messages[-1]["role"] == "assistant" and asked == plain
        ended = any(asked.endswith(token) for token in reference.control)
        return len(asked) if ended or not behind else None
    if not asked.startswith(plain):
        return None
    added = asked[len(plain) :]
    floor = max((end for number, (_, end) in printed.anchors.items() if number < index), default=0)
    words = [word for piece in _split(added, reference.control) for word in piece.split()]
    loosely = re.compile(r"\s*".join(map(re.escape, words)) or r"(?!)")
    found = list(loosely.finditer(text, floor, first))
    # A model may write the same header again behind its reasoning (gpt-oss).
    if found and added not in text[floor:first]:
        return found[-1].end()
    for prompt in (added, OPENED.sub("", added), OPENED.sub("", added).rstrip()):
        at = text.find(prompt, floor, first) if prompt.strip() else -1
        if at >= 0:
            return at + len(prompt)
    return None


def _goes_on(messages: Sequence[Mapping], printed: Printed, last: int) -> bool:
    """Whether the message that is printed behind a character is the assistant's."""
    later = {first: index for index, (first, _) in printed.anchors.items() if first >= last}
    return bool(later) and messages[later[min(later)]]["role"] == "assistant"


def _ends(
    text: str,
    last: int,
    tail: str,
    control: re.Pattern[str],
    plain_ends: set[str],
    *,
    calls: bool,
    unmarked: bool,
    goes_on: bool,
) -> tuple[int, ...]:
    """Where a model may end a turn.

    Args:
        text: The whole text.
        last: Behind the turn's last word.
        tail: What is printed behind it when nothing follows the turn, too.
        control: Finds control tokens.
        plain_ends: The tokens that end answers without calls.
        calls: Whether the turn has calls.
        unmarked: Whether the template prints no end of its own behind answers without calls.
        goes_on: Whether an answer is printed next: what it begins with ends no turn.
    """
    own = list(control.finditer(tail))
    header = WHITE.match(text, last + len(tail))
    next_one = control.match(text, header.end() if header else last + len(tail))
    following = (next_one.end(),) if next_one and not goes_on else ()
    marked = [match for match in own if not calls or match.group() in plain_ends]
    if marked:
        # Of two with white space between them (<|im_end|>, newline, <eos>) either may be the end.
        gaps = [a.end() for a, b in pairwise(marked) if a.end() < b.start()]
        return tuple(last + end for end in (marked[-1].end(), *gaps))
    if unmarked or not own:
        return following
    return (last + own[-1].end(), *following)


def _split(text: str, control: set[str]) -> list[str]:
    """A text cut before and behind its control tokens."""
    return re.split(f"({_pattern(control).pattern})", text)


def _pattern(control: set[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or r"(?!)")
