"""A render_v1 row against transformers: every difference has a short name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from conversations import Conversation
from reference import Reference, Tokens
from turns import REASONING, OwnText, Printed, locate, own_texts

BLOCK = re.compile(r"think>|\[/?THINK\]")
OPENS = re.compile(r"(?:<think>|<seed:think>|\[THINK\]|<\|channel>thought)\s*\Z")
CLOSES = re.compile(r"\s*(?:</think>|</seed:think>|\[/THINK\]|<channel\|>)")
TAG = re.compile(r"<([a-z_]*[a-rt-z_])>")  # one that ends in s opens a section of calls
SEPARATOR = re.compile(r"[\s,;]*")
HEADER_LETTERS = 8
HEADER = re.compile(r"<\|(?:start|begin)\|>")  # of a message inside a turn (gpt-oss, Solar)

Row = Mapping[str, Any]
Difference = tuple[str, str]
"""A name for the kind of difference, and what was seen."""


def check_same(row: Row, text: str, tokens: Tokens) -> Iterator[Difference]:
    """Text and ids are transformers' own."""
    if row["rendered_text"] != text:
        at = next(
            (
                index
                for index, (a, b) in enumerate(zip(row["rendered_text"], text, strict=False))
                if a != b
            ),
            min(len(text), len(row["rendered_text"])),
        )
        near = slice(max(at - 20, 0), at + 40)
        yield "text", f"{row['rendered_text'][near]!r} instead of {text[near]!r}"
    elif row["input_ids"] != tokens.ids:
        at = next(
            index
            for index, (a, b) in enumerate(
                zip([*row["input_ids"], None], [*tokens.ids, None], strict=False)
            )
            if a != b
        )
        yield "ids", f"token {at}, near {tokens.spelled(max(at - 3, 0), at + 4)!r}"


def check_order(row: Row, conversation: Conversation) -> Iterator[Difference]:
    """Spans are in order, inside each other as they must be, and as many as there are things."""
    alignment, length = row["alignment"], len(row["input_ids"])
    messages, calls = alignment["message_spans"], alignment["tool_call_spans"]
    indices = [span["message_index"] for span in messages]
    if list(dict.fromkeys(indices)) != list(range(len(conversation.messages))):
        yield "order", "not a span for every message"
    for index, count in Counter(indices).items():
        # A template may print reasoning, text and every call as a turn of its own.
        message = conversation.messages[index]
        said = bool(message["content"].strip()) + bool(message.get("thinking"))
        if count > max(said + len(message.get("tool_calls") or ()), 1):
            yield "order", f"message {index} has {count} spans"
    wanted = list(conversation.calls())
    if [(s["message_index"], s["call_index"], s["tool_name"]) for s in calls] != wanted:
        yield "order", "not one span for every call"
    reached = 0
    for span in messages:
        edges = [span[k] for k in ("token_start", "content_start", "content_end", "token_end")]
        if sorted(edges) != edges or edges[0] < reached or edges[-1] > length:
            yield "order", f"message {span['message_index']}: {edges} behind {reached}"
        reached = max(reached, edges[-1])
    said = _stretches(messages, "content_start", "content_end")
    reached = 0
    for span in calls:
        edges = [
            span[key] for key in ("token_start", "name_token_start", "name_token_end", "token_end")
        ]
        own = said.get(span["message_index"], [])
        if sorted(edges) != edges or edges[0] < reached:
            yield "order", f"call {span['call_index']} of {span['message_index']}: {edges}"
        if not any(_inside((edges[0], edges[-1]), stretch) for stretch in own):
            yield "call_outside_message", f"{edges} in {own}"
        reached = max(reached, edges[-1])


def check_words(
    row: Row, conversation: Conversation, printed: Printed, tokens: Tokens
) -> Iterator[Difference]:
    """Every word lies in the spans that must hold it, and in no other."""
    alignment = row["alignment"]
    said = _stretches(alignment["message_spans"], "content_start", "content_end")
    whole = _stretches(alignment["message_spans"], "token_start", "token_end")
    calls = {
        (s["message_index"], s["call_index"]): (s["token_start"], s["token_end"])
        for s in alignment["tool_call_spans"]
    }
    thinking: dict[int, list[tuple[int, int]]] = {}
    for span in alignment["thinking_spans"]:
        thinking.setdefault(span["message_index"], []).append(
            (span["token_start"], span["token_end"])
        )
    for word in conversation.words:
        held = [
            (tokens.begins(at), tokens.last(at + len(word.text)))
            for at in printed.places[word.text]
        ]
        if not held:
            continue
        name = f"{word.kind} of message {word.message}"
        if word.kind == "thinking":
            wanted = thinking.get(word.message, [])
            if not any(_inside(span, own) for span in held for own in wanted):
                yield "reasoning_outside", name
            mine = whole.get(word.message, [])
            if not any(_inside(span, stretch) for span in held for stretch in mine):
                yield "reasoning_outside", f"{name}: not in its message"
        else:
            own = said.get(word.message, [])
            if not any(_inside(span, stretch) for span in held for stretch in own):
                yield "word_outside", f"{name} is not in {own}"
        if word.kind == "call":
            own = calls.get((word.message, word.call), (0, 0))
            if not any(_inside(span, own) for span in held):
                yield "call_word_outside", f"{name}, call {word.call}"
        for span in held:
            for key, other in calls.items():
                if key != (word.message, word.call) and _touch(span, other):
                    yield "call_holds_other", f"call {key} holds {name}"
            for message, spans in thinking.items():
                mine = word.kind == "thinking" and message == word.message
                if not mine and any(_touch(span, other) for other in spans):
                    yield "reasoning_holds_other", f"reasoning of {message} holds {name}"
            for message, others in whole.items():
                if message != word.message and any(_touch(span, other) for other in others):
                    yield "message_holds_other", f"message {message} holds {name}"
    for span in alignment["tool_call_spans"]:
        low, high = tokens.char(span["token_start"]), tokens.char(span["token_end"])
        places = re.finditer(re.escape(span["tool_name"]), tokens.text[low:high])
        exact = {(tokens.first(low + at.start()), tokens.last(low + at.end())) for at in places}
        if (span["name_token_start"], span["name_token_end"]) not in exact:
            shown = tokens.spelled(span["name_token_start"], span["name_token_end"])
            yield "name", f"{span['tool_name']!r} is {shown!r}"


def check_turns(
    row: Row, turns: Sequence[OwnText], conversation: Conversation, printed: Printed, tokens: Tokens
) -> Iterator[Difference]:
    """Every assistant turn begins where the model begins, and ends with its end-of-turn token; the
    calls' openings are in the calls, the ends of turns are not.
    """
    spans = _stretches(row["alignment"]["message_spans"], "content_start", "content_end")
    calls: dict[int, list[Mapping[str, int]]] = {}
    for span in row["alignment"]["tool_call_spans"]:
        calls.setdefault(span["message_index"], []).append(span)
    for turn in turns:
        if turn.message not in spans:
            continue
        start, end = spans[turn.message][0][0], spans[turn.message][-1][1]
        if turn.begin is not None:
            if start < tokens.first(turn.begin):
                extra = tokens.spelled(start, tokens.first(turn.begin))
                yield "start", f"{extra!r} is the prompt's"
            missed = tokens.spelled(tokens.begins(turn.begin), start)
            thought = any(
                word.text in missed for word in conversation.words if word.kind == "thinking"
            )
            if missed.strip() and not thought and not REASONING.search(missed):
                yield "start", f"{missed!r} of message {turn.message} is left out"
        before = tokens.text[tokens.char(start) : turn.first]
        if BLOCK.search(before):
            yield "start", f"{before!r} of message {turn.message} is in its content"
        allowed = {tokens.last(place) for place in turn.ends}
        if allowed and end not in allowed:
            wanted = max(allowed)
            seen = tokens.spelled(min(end, wanted), max(end, wanted))
            kind = "missing" if end < wanted else "extra"
            yield "end", f"message {turn.message}: {seen!r} {kind}"
        for call in calls.get(turn.message, ()):
            if turn.ends and call["token_end"] > tokens.first(max(turn.ends) - 1):
                yield "call_holds_end", f"message {turn.message}, call {call['call_index']}"
        yield from _check_calls(calls.get(turn.message, ()), tokens)
        count = len(spans[turn.message])
        closings = [
            tokens.text[other.last : max(other.ends)]
            for other in turns
            if other.ends and other.message not in calls
        ]
        own = calls.get(turn.message, ())
        yield from _check_opening(turn, own, printed, tokens, count, closings)


def _check_calls(calls: Sequence[Mapping[str, int]], tokens: Tokens) -> Iterator[Difference]:
    """Nothing but a comma stands between two calls that follow each other in one turn, and a call
    that begins with a tag ends with it.
    """
    for call in calls:
        text = tokens.text[tokens.char(call["token_start"]) : tokens.char(call["token_end"])]
        tag = TAG.match(text)
        if not tag:
            continue
        ended = max(text.rfind(each) + len(each) for each in _closings(tag.group(1)))
        # The last token may hold the beginning of what is behind the call
        last = tokens.char(call["token_end"] - 1) - tokens.char(call["token_start"])
        if text[ended:].strip() and ended <= last:
            yield "call_cut", f"{text[-30:]!r} is the end of a call with {tag.group()!r}"
    for left, right in pairwise(calls):
        between = tokens.text[tokens.char(left["token_end"]) : tokens.char(right["token_start"])]
        if not SEPARATOR.fullmatch(between) and "<|start|>" not in between:
            yield "call_cut", f"{between!r} is between two calls"


def _closings(tag: str) -> tuple[str, ...]:
    """How a call may end that begins with a tag."""
    ends = (f"</{tag}>",)
    return (*ends, f"<end{tag.removeprefix('start')}>") if tag.startswith("start_") else ends


def check_reasoning(
    row: Row, turns: Sequence[OwnText], conversation: Conversation, printed: Printed, tokens: Tokens
) -> Iterator[Difference]:
    """Spans of reasoning hold the markers around it, as far as the model writes them."""
    begins = {turn.message: turn.begin for turn in turns}
    spans = {span["message_index"]: span for span in row["alignment"]["thinking_spans"]}
    for message, span in spans.items():
        places = [
            (at, at + len(word.text))
            for word in conversation.words
            if word.kind == "thinking" and word.message == message
            for at in printed.places[word.text]
        ]
        begin = begins.get(message)
        if not places or begin is None:
            continue
        first, last = min(places)[0], max(places)[1]
        opened, closed = OPENS.search(tokens.text[begin:first]), CLOSES.match(tokens.text, last)
        if opened and span["token_start"] != tokens.first(begin + opened.start()):
            yield "reasoning_cut", f"{opened.group()!r} of message {message} is not its start"
        if closed and span["token_end"] != tokens.last(closed.end()):
            yield "reasoning_cut", f"{closed.group()!r} of message {message} is not its end"


def _ends_alike(left: str, right: str) -> bool:
    return left[-HEADER_LETTERS:] == right[-HEADER_LETTERS:] != ""


def _check_opening(
    turn: OwnText,
    calls: Sequence[Mapping[str, int]],
    printed: Printed,
    tokens: Tokens,
    spans: int,
    closings: Sequence[str],
) -> Iterator[Difference]:
    """Nothing but white space stands between what the model says and its first call, and what
    closes a text: ``closings`` is what stands behind that of answers without calls.
    """
    if not calls or turn.begin is None:
        return
    start = tokens.char(calls[0]["token_start"])
    said = [
        at + len(word)
        for word, places in printed.places.items()
        for at in places
        if turn.begin <= at < start
    ]
    missed = tokens.text[max([turn.begin, *said]) : start]
    if spans > 1 and _ends_alike(missed.strip(), tokens.text[: turn.begin].strip()):
        return  # a turn of its own, behind the same header
    if any(each.startswith(missed) and each != missed for each in closings):
        return
    if missed.strip() and not REASONING.search(missed) and not HEADER.search(missed):
        yield "opening", f"{missed!r} before the first call of message {turn.message}"


def check_generation(
    row: Row,
    mask: Sequence[int] | None,
    turns: Sequence[OwnText],
    conversation: Conversation,
    tokens: Tokens,
) -> Iterator[Difference]:
    """The template's own ``{% generation %}`` tags cover what the assistant spans cover.

    White space and reasoning aside, and what the tags have beside the turns: a header that the
    prompt ends with, an end of sequence behind the last end of turn. Nor can they hold the token
    that ends a turn of calls where that is the first one of the results (Gemma 4): a token with
    which a span ends and no answer without calls.
    """
    if not mask or not any(mask):
        return
    own_text = [
        (tokens.first(turn.begin), tokens.last(min(turn.ends)))
        for turn in turns
        if turn.begin is not None and turn.ends
    ]
    ours = [0] * len(mask)
    for kind in ("assistant_spans", "thinking_spans"):
        for span in row["alignment"][kind]:
            for token in range(span["token_start"], min(span["token_end"], len(mask))):
                ours[token] = 1 if kind == "assistant_spans" else 2
    answers = {
        tokens.spelled(tokens.first(end - 1), tokens.last(end))
        for turn in turns
        for end in turn.ends
        if not conversation.messages[turn.message].get("tool_calls")
    }
    stops = {
        span["token_end"] - 1
        for span in row["alignment"]["assistant_spans"]
        if tokens.spelled(span["token_end"] - 1, span["token_end"]) not in answers
        and conversation.messages[span["message_index"]].get("tool_calls")
    }
    missing: list[int] = []
    extra: list[int] = []
    for token, (theirs, own) in enumerate(zip(mask, ours, strict=True)):
        beside = theirs and not any(low <= token < high for low, high in own_text)
        if bool(theirs) == bool(own) or own == 2 or beside or token in stops:
            continue
        if tokens.spelled(token, token + 1).strip():
            (missing if theirs else extra).append(token)
    for name, found in (("mask_missing", missing), ("mask_extra", extra)):
        shown = "".join(tokens.spelled(token, token + 1) for token in found)
        if found and not REASONING.search(shown):
            yield name, repr(shown[:60])


def check_eos(row: Row, printed: Printed, tokens: Tokens) -> Iterator[Difference]:
    """No position of an end of turn lies inside what a message says in one turn."""
    ends = {span["content_end"] - 1 for span in row["alignment"]["message_spans"]}
    for position in row["special_tokens"]["eos_positions"]:
        for message, (first, last) in printed.anchors.items():
            inside = tokens.first(first) < position < tokens.first(last - 1)
            if inside and position not in ends:
                yield "eos", f"position {position} lies in message {message}"


def check_row(
    row: Row, conversation: Conversation, reference: Reference, text: str | None, *, tools: bool
) -> list[Difference]:
    """All differences of a row.

    Args:
        row: The render.
        conversation: What it is of, with words or without.
        reference: Transformers with the same tokenizer and template.
        text: Transformers' text of it; None where the template prints too little to compare, so
            that only the words are looked at.
        tools: Whether the tools are shown.
    """
    shown = row["rendered_text"] if text is None else text
    tokens = reference.tokens(shown)
    found = [*check_same(row, shown, tokens), *check_order(row, conversation)]
    if found or not conversation.words:
        return found
    printed = locate(conversation, shown)
    found += [
        ("dropped", f"a word of the {word.kind} of message {word.message}")
        for word in conversation.words
        if word.kind != "thinking" and not printed.places[word.text]
    ]
    found += check_words(row, conversation, printed, tokens)
    found += check_eos(row, printed, tokens)
    if text is not None:
        turns = own_texts(conversation, printed, reference, tools=tools)
        found += check_turns(row, turns, conversation, printed, tokens)
        found += check_reasoning(row, turns, conversation, printed, tokens)
        mask = reference.generated(conversation, tools=tools)
        found += check_generation(row, mask, turns, conversation, tokens)
    return found


def _stretches(
    spans: Sequence[Mapping[str, int]], start: str, end: str
) -> dict[int, list[tuple[int, int]]]:
    """Stretches of the text by message, in its order."""
    found: dict[int, list[tuple[int, int]]] = {}
    for span in spans:
        found.setdefault(span["message_index"], []).append((span[start], span[end]))
    return found


def _inside(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _touch(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
