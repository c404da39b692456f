"""Draw docs/images/twin.svg: the first twins of the demo of decision points, side by side.

`make twin-image` runs it, after `make demo-decision-points`.
"""

import argparse
import io
import re
from pathlib import Path

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

from cbdata.atomic_file import write_atomic
from cbdata.jsonl import read_records
from cbdata.lossmask.registry import load_registry
from cbdata.report.vocabulary import load_vocabulary
from cbdata.terminal.find import Shown, find
from cbdata.terminal.view import token_texts

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 124
DIFFERENT = "bold red"
TRAINED = "black on rgb(150,225,150)"
# GitHub shows no font that lies elsewhere, so the image names none.
WEB_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def first_twins(run: Path) -> tuple[Shown, Shown]:
    """The first harmful trace that has a twin, and the twin."""
    registry = load_registry()
    for _, mask in read_records(run / "lossmasks/agentdojo_ds.jsonl"):
        harmful = find(run, mask["trace_id"], "agentdojo_ds", None, registry)
        twin = harmful.trace["links"].get("paired_trace_id")
        if twin is not None:
            return harmful, find(run, twin, "agentdojo_dr", None, registry)
    raise SystemExit(f"{run}: no twins. Hint: make demo-decision-points")


def differing(one: list[int], other: list[int]) -> tuple[int, int]:
    """How many tokens two prompts share at the beginning, and behind that at the end."""
    shorter = min(len(one), len(other))
    start = next((i for i in range(shorter) if one[i] != other[i]), shorter)
    rest = shorter - start
    end = next((i for i in range(rest) if one[-1 - i] != other[-1 - i]), rest)
    return start, end


def side(shown: Shown, texts: list[str], start: int, end: int, title: str) -> Panel:
    """One of the twins, from the tool result on in which they differ.

    Args:
        shown: The trace.
        texts: The text that each of its tokens adds.
        start: With so many tokens both twins begin.
        end: So many tokens of both prompts are the same behind where they differ.
        title: What to write over it.
    """
    prompt = shown.render["prompt"]["length"]
    spans = shown.render["alignment"]["message_spans"]
    first = next(span for span in spans if span["token_start"] <= start < span["token_end"])
    body = Text()
    for position in range(first["token_start"], len(texts)):
        style = ""
        if start <= position < prompt - end:
            style = DIFFERENT
        elif shown.mask[position]:
            style = TRAINED
        body.append(texts[position], style)
    before = Text(f"… {first['token_start']:,} tokens: tools, task and call\n", "dim")
    return Panel(Group(before, body), title=title)


def draw(run: Path, tokenizer: Path) -> str:
    """The image as SVG."""
    twins = first_twins(run)
    prompts = [each.render["input_ids"][: each.render["prompt"]["length"]] for each in twins]
    start, end = differing(*prompts)
    vocabulary = load_vocabulary(tokenizer)
    table = Table.grid(expand=True, padding=(0, 1))
    titles = ("harmful twin (DS)", "benign twin (DR), injection replaced by the default")
    panels = []
    for shown, title in zip(twins, titles, strict=True):
        table.add_column(ratio=1)
        texts = token_texts(vocabulary, shown.render["input_ids"])
        panels.append(side(shown, texts, start, end, title))
    table.add_row(*panels)
    legend = Text(f"{start:,} tokens are the same in both. ")
    legend.append("where they differ", DIFFERENT)
    legend.append("  ")
    legend.append("with loss", TRAINED)
    legend.append(f" ({twins[0].policy})")
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(legend)
    console.print(table)
    svg = console.export_svg(
        title="One decision point, two answers", theme=DEFAULT_TERMINAL_THEME, unique_id="twin"
    )
    return WEB_FONTS.sub("", svg)


def main() -> None:
    """Write the image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "scratch/demo_decision_points/data")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/twin.svg")
    model = ROOT / "scratch/cache/models/SmolLM2-135M-Instruct"
    parser.add_argument("--tokenizer", type=Path, default=model)
    given = parser.parse_args()
    write_atomic(given.out, draw(given.run, given.tokenizer).encode())


if __name__ == "__main__":
    main()
