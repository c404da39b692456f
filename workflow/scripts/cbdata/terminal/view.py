"""A trace as text with its loss mask: in colour on a terminal, in brackets in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cbdata.report.text import seen, visible_char
from cbdata.report.vocabulary import Vocabulary
from cbdata.terminal.find import Shown

TRAINED = "black on green"
PARTLY = "black on yellow"
INJECTION = "red"
REASONING = "italic"
NAME = "bold"
CALL = "underline"
OPEN, CLOSE = "⟪⟫"
"""What stands around tokens with loss where there are no colours; a text's own are written out."""


@dataclass(frozen=True)
class Look:
    """How to show it. ``brackets``: trained tokens stand in ⟪ ⟫, for output without colours.
    ``ids``: a line for each token.
    """

    brackets: bool = False
    ids: bool = False


def token_texts(vocabulary: Vocabulary, ids: list[int]) -> list[str]:
    """The text that each token adds. A character of several tokens is given to the last of them,
    and an id that the tokenizer does not have is written as ``<id>``.

    Args:
        vocabulary: What the ids stand for.
        ids: Token ids.
    """
    texts, pending = [], b""
    for token in ids:
        data = vocabulary.token_bytes(token)
        if data is None:
            texts.append(pending.decode("utf-8", "replace") + f"<{token}>")
            pending = b""
            continue
        pending += data
        try:
            texts.append(pending.decode())
            pending = b""
        except UnicodeDecodeError as error:
            # Four bytes are the longest character; what is longer is not UTF-8 at all.
            whole = error.reason != "unexpected end of data" or len(pending) - error.start > 3
            cut = len(pending) if whole else error.start
            texts.append(pending[:cut].decode("utf-8", "replace"))
            pending = pending[cut:]
    if pending and texts:
        texts[-1] += pending.decode("utf-8", "replace")
    return texts


@dataclass(frozen=True)
class _Span:
    """Tokens ``[start, end)`` that are something: as a word and a style, and in whole words where
    there are more to say.
    """

    start: int
    end: int
    what: str
    style: str
    words: str = ""


def _spans(shown: Shown) -> list[_Span]:
    """Injections, reasoning and calls with their names, in this order of kinds."""
    alignment, signals = shown.render["alignment"], shown.render["signals"]
    spans = [
        _Span(span["token_start"], span["token_end"], what, style)
        for what, style, kind in (
            ("injection", INJECTION, signals["injection_spans"]),
            ("reasoning", REASONING, alignment.get("thinking_spans", [])),
        )
        for span in kind
    ]
    for call in alignment["tool_call_spans"]:
        words = f"call of {call['tool_name']}"
        spans.append(_Span(call["token_start"], call["token_end"], "call", CALL, words))
        name = (call["name_token_start"], call["name_token_end"])
        spans.append(_Span(*name, "name", NAME))
    return spans


def _marks(shown: Shown) -> list[list[_Span]]:
    """The spans that each token is in."""
    marks: list[list[_Span]] = [[] for _ in shown.mask]
    for span in _spans(shown):
        for position in range(span.start, min(span.end, len(marks))):
            marks[position].append(span)
    return marks


@dataclass(frozen=True)
class _Stretch:
    """Tokens ``[start, end)`` of one turn, or between turns, where ``title`` is empty. ``holds``
    says in words what of it has a colour.
    """

    start: int
    end: int
    title: str = ""
    holds: tuple[str, ...] = ()


def _turn(shown: Shown, span: dict[str, Any]) -> _Stretch:
    start, end = span["token_start"], span["token_end"]
    trained = sum(weight > 0 for weight in shown.mask[start:end])
    title = (
        f"{span['role']} · message {span['message_index']} · {trained} of {end - start} with loss"
    )
    holds = [
        f"{seen(part.words or part.what)}: tokens {part.start} to {part.end - 1}"
        for part in _spans(shown)
        if start <= part.start < end and part.style != NAME
    ]
    return _Stretch(start, end, title, tuple(holds))


def _stretches(shown: Shown) -> Iterator[_Stretch]:
    """The turns, and what stands between them."""
    position = 0
    for span in shown.render["alignment"]["message_spans"]:
        if span["token_start"] > position:
            yield _Stretch(position, span["token_start"])
        yield _turn(shown, span)
        position = span["token_end"]
    if position < len(shown.mask):
        yield _Stretch(position, len(shown.mask))


def _style(marks: list[_Span], weight: float) -> str:
    loss = TRAINED if weight >= 1 else PARTLY if weight > 0 else ""
    return " ".join([*(span.style for span in marks), loss]).strip()


def _flowing(
    shown: Shown, texts: list[str], marks: list[list[_Span]], part: _Stretch, look: Look
) -> Text:
    text = Text()
    before = 0.0
    for position in range(part.start, part.end):
        weight = shown.mask[position]
        if look.brackets and weight != before:
            text.append((CLOSE if before else "") + (_opening(weight) if weight else ""))
        piece = seen(texts[position])
        if look.brackets:
            for own in (OPEN, CLOSE):
                piece = piece.replace(own, f"⟦U+{ord(own):04X}⟧")
        text.append(piece, _style(marks[position], weight))
        before = weight
    if look.brackets and before:
        text.append(CLOSE)
    return text


def _opening(weight: float) -> str:
    return OPEN if weight == 1 else f"{OPEN}{weight:g}:"


def _id_table(
    shown: Shown, texts: list[str], marks: list[list[_Span]], part: _Stretch
) -> RenderableType:
    table = Table(box=box.SIMPLE)
    for name in ("position", "id", "weight"):
        table.add_column(name, justify="right")
    table.add_column("text", overflow="fold")
    table.add_column("part of")
    for position in range(part.start, part.end):
        weight = shown.mask[position]
        table.add_row(
            str(position),
            str(shown.render["input_ids"][position]),
            f"{weight:g}",
            Text(
                "".join(map(visible_char, texts[position])),
                _style(marks[position], weight),
            ),
            ", ".join(span.what for span in marks[position]),
        )
    return table


def _head(shown: Shown) -> Text:
    trace = shown.trace
    trained = sum(weight > 0 for weight in shown.mask)
    attack = trace.get("tool_attack") or {}
    facts = [
        ("trace", trace["id"]),
        ("data set", shown.data),
        ("class", trace["training"]["mixture"]["class_id"]),
        ("category", trace["labels"]["category"]),
        ("split", trace["split"]),
        ("expected tool", attack.get("expected_tool")),
        ("tool of the attack", attack.get("simulated_tool")),
        ("observed tool", attack.get("observed_tool")),
        ("on policy", "yes" if shown.render.get("on_policy") else "no"),
        ("policy", shown.policy),
        ("tokens", f"{len(shown.mask):,}, {trained:,} with loss"),
    ]
    lines = (f"{name}: {seen(str(value))}" for name, value in facts if value is not None)
    return Text("\n".join(lines))


def view(shown: Shown, vocabulary: Vocabulary, look: Look) -> RenderableType:
    """The whole trace: what it is, then each turn with its mask.

    Args:
        shown: The trace.
        vocabulary: Of the tokenizer that it was rendered with.
        look: How to show it.
    """
    texts, marks = token_texts(vocabulary, shown.render["input_ids"]), _marks(shown)
    parts: list[RenderableType] = [_head(shown)]
    for part in _stretches(shown):
        own = "".join(texts[part.start : part.end])
        blank = not part.title and not own.strip()
        body: RenderableType
        if blank:
            body = Text("".join(map(visible_char, own)), "dim")
        elif look.ids:
            body = _id_table(shown, texts, marks, part)
        else:
            body = _flowing(shown, texts, marks, part, look)
        if look.brackets:
            head = " · ".join([part.title or "between messages", *part.holds])
            parts += [Text(f"\n--- {head}"), body]
        elif blank:
            parts.append(body)
        else:
            title = Text(part.title or "between messages")
            parts.append(Panel(body, title=title, title_align="left"))
    return Group(*parts)


def legend() -> Text:
    """What the colours mean."""
    text = Text()
    for words, style in (
        ("with loss", TRAINED),
        ("with part of the loss", PARTLY),
        ("injection", INJECTION),
        ("reasoning", REASONING),
        ("call", CALL),
        ("name of a call", f"{CALL} {NAME}"),
    ):
        text.append(words, style)
        text.append("  ")
    return text


def twins(left: RenderableType, right: RenderableType) -> Table:
    """Two traces side by side."""
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    table.add_row(left, right)
    return table
