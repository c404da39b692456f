"""A trace as text with its loss mask: in colour on a terminal, in brackets in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cbdata.report.text import visible_char
from cbdata.report.vocabulary import Vocabulary
from cbdata.terminal.find import Shown

TRAINED = "black on green"
PARTLY = "black on yellow"
INJECTION = "red"
REASONING = "italic"
NAME = "bold underline"


@dataclass(frozen=True)
class Look:
    """How to show it. ``brackets``: trained tokens stand in ⟦ ⟧, for output without colours.
    ``ids``: a line for each token.
    """

    brackets: bool = False
    ids: bool = False


def _seen(text: str) -> str:
    """Text that can move nothing on a terminal; line feeds and tabs stay."""
    return "".join(char if char in "\n\t" else visible_char(char) for char in text)


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


def _styles(shown: Shown) -> list[str]:
    """What each token is, as a style: injection, reasoning, the name of a call."""
    styles = [""] * len(shown.mask)
    alignment = shown.render["alignment"]

    def paint(start: int, end: int, style: str) -> None:
        for position in range(start, end):
            styles[position] = f"{styles[position]} {style}".strip()

    for span in shown.render["signals"]["injection_spans"]:
        paint(span["token_start"], span["token_end"], INJECTION)
    for span in alignment.get("thinking_spans", []):
        paint(span["token_start"], span["token_end"], REASONING)
    for call in alignment["tool_call_spans"]:
        paint(call["name_token_start"], call["name_token_end"], NAME)
    return styles


def _weight_style(weight: float) -> str:
    return TRAINED if weight >= 1 else PARTLY if weight > 0 else ""


def _turns(shown: Shown) -> Iterator[tuple[str, int, int]]:
    """Title and tokens of each stretch: the turns, and what stands between them."""
    position = 0
    for span in shown.render["alignment"]["message_spans"]:
        if span["token_start"] > position:
            yield "", position, span["token_start"]
        title = f"{span['role']} · message {span['message_index']}"
        yield title, span["token_start"], span["token_end"]
        position = span["token_end"]
    if position < len(shown.mask):
        yield "", position, len(shown.mask)


def _stretch(
    shown: Shown, texts: list[str], styles: list[str], start: int, end: int, look: Look
) -> Text:
    text = Text()
    before = 0.0
    for position in range(start, end):
        weight = shown.mask[position]
        if look.brackets and weight != before:
            text.append(("⟧" if before else "") + (_opening(weight) if weight else ""))
        text.append(_seen(texts[position]), f"{styles[position]} {_weight_style(weight)}".strip())
        before = weight
    if look.brackets and before:
        text.append("⟧")
    return text


def _opening(weight: float) -> str:
    return "⟦" if weight == 1 else f"⟦{weight:g}:"


def _id_table(
    shown: Shown, texts: list[str], styles: list[str], start: int, end: int
) -> RenderableType:
    table = Table(box=box.SIMPLE)
    for name in ("position", "id", "weight"):
        table.add_column(name, justify="right")
    table.add_column("text")
    for position in range(start, end):
        weight = shown.mask[position]
        table.add_row(
            str(position),
            str(shown.render["input_ids"][position]),
            f"{weight:g}",
            Text(
                "".join(map(visible_char, texts[position])),
                f"{styles[position]} {_weight_style(weight)}".strip(),
            ),
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
    lines = (f"{name}: {_seen(str(value))}" for name, value in facts if value is not None)
    return Text("\n".join(lines))


def view(shown: Shown, vocabulary: Vocabulary, look: Look) -> RenderableType:
    """The whole trace: what it is, then each turn with its mask.

    Args:
        shown: The trace.
        vocabulary: Of the tokenizer that it was rendered with.
        look: How to show it.
    """
    texts, styles = token_texts(vocabulary, shown.render["input_ids"]), _styles(shown)
    parts: list[RenderableType] = [_head(shown)]
    for title, start, end in _turns(shown):
        body: RenderableType
        if not title and not "".join(texts[start:end]).strip():
            body = Text("".join(map(visible_char, "".join(texts[start:end]))), "dim")
        elif look.ids:
            body = _id_table(shown, texts, styles, start, end)
        else:
            body = _stretch(shown, texts, styles, start, end, look)
        if look.brackets:
            parts += [Text(f"\n--- {title or 'between messages'}"), body]
        else:
            parts.append(Panel(body, title=title or None, title_align="left"))
    return Group(*parts)


def legend() -> Text:
    """What the colours mean."""
    text = Text("with loss", TRAINED)
    for words, style in (
        ("with part of the loss", PARTLY),
        ("injection", INJECTION),
        ("reasoning", REASONING),
        ("name of a call", NAME),
    ):
        text.append("  ")
        text.append(words, style)
    return text


def twins(left: RenderableType, right: RenderableType) -> Table:
    """Two traces side by side."""
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    table.add_row(left, right)
    return table
