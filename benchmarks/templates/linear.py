"""What a message costs in conversations of 500 and of 2,000 messages, for every chat template of
some folders.

usage: python benchmarks/templates/linear.py [FOLDER ...] [--messages 500] [--times 4]

CPU time of this process, the least of some repetitions, each with texts of its own, so that no
cache has seen them:

- draft: the template, run with marks, and the layout of its text, as the render stage does both;
- row: the same, tokenised, and made into a line of a render file;
- transformers: the template alone, as transformers runs it, without a tokenizer.

Where the time per message grows no more than in transformers, that is the template's own doing: it
goes through all messages for each of them.
"""

from __future__ import annotations

import argparse
import gc
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "workflow" / "scripts")]

Messages = list[dict[str, Any]]
LONGEST = 10_000_000  # tokens; no conversation is cut
WORKS = ("draft", "row", "transformers")
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
    },
}
WORDS = ("the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by")
TEXT_BESIDE, CALLS, PLAIN = "calls with text beside them", "calls", "no calls"


def conversation(messages: int, form: str, seed: int) -> Messages:
    """A question, a call, its result and an answer, as often as it takes.

    Args:
        messages: How many there are; rounded to whole rounds.
        form: One of the three kinds of conversation.
        seed: Of the words.
    """
    choose = random.Random(seed)

    def text() -> str:
        return " ".join([*choose.choices(WORDS, k=12), f"{choose.getrandbits(40):x}"])

    made: Messages = []
    while len(made) < messages:
        number = len(made)
        made.append({"role": "user", "content": text()})
        if form != PLAIN:
            call_id = f"call{number:05}"
            function = {"name": "look_up", "arguments": {"word": text(), "count": number}}
            made += [
                {
                    "role": "assistant",
                    "content": text() if form == TEXT_BESIDE else "",
                    "tool_calls": [{"call_id": call_id, "function": function}],
                },
                {"role": "tool", "content": text(), "name": "look_up", "tool_call_id": call_id},
            ]
        made.append({"role": "assistant", "content": text()})
    return made


@dataclass
class Cost:
    """What a template costs: seconds of CPU per message in short and long conversations.

    Attributes:
        name: The template's.
        form: The kind of conversation that it prints.
        seconds: By what was done, for the short and the long conversation.
        unusable: Why nothing was measured.
    """

    name: str
    form: str = ""
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    unusable: str = ""

    def ratio(self, work: str) -> float:
        """How much more a message costs in a long conversation."""
        short, long = self.seconds[work]
        return long / short

    def growth(self, work: str) -> float:
        """How many more seconds a message costs in a long conversation."""
        short, long = self.seconds[work]
        return long - short


def per_message(
    work: Callable[[Messages], object], form: str, messages: int, repetitions: int
) -> float:
    """Seconds of CPU per message; of some repetitions, the least.

    Args:
        work: What is done with a conversation.
        form: The kind of conversation.
        messages: How many messages it has.
        repetitions: How often it is done, each time with other texts.
    """
    least = float("inf")
    for seed in range(repetitions):
        made = conversation(messages, form, seed * 1_000_003 + messages)
        gc.collect()
        begun = time.process_time()
        work(made)
        least = min(least, (time.process_time() - begun) / len(made))
    return least


def measure(
    name: str, source: str, base: Any, folder: Path, sizes: Sequence[int], repetitions: int
) -> Cost:
    """What one template costs.

    Args:
        name: Its name.
        source: Its text.
        base: The tokenizer to put it on.
        folder: A folder for the tokenizer's files.
        sizes: Messages of the short and the long conversation.
        repetitions: As for ``per_message``.
    """
    from reference import DATE, Refused

    from cbdata.config import default_settings
    from cbdata.garbage import rare_collections
    from cbdata.rejects import Reject
    from cbdata.render.record import RowWriter
    from cbdata.render.renderer import Renderer
    from cbdata.render.settings import RenderSettings, RowSettings

    base.write(source, folder)
    settings = {"chat_template": None, "template_date": DATE, "tokenizer": str(folder)}
    try:
        renderer = Renderer.load(default_settings(RenderSettings, **settings))
    except ValueError as error:
        return Cost(name, unusable=str(error))
    rows = RowWriter(
        renderer, default_settings(RowSettings, max_length=LONGEST, overlength="reject")
    )

    def make_row(messages: Messages, tools: Sequence[Mapping[str, Any]] | None) -> None:
        rendered = renderer.render(messages, tools)
        trace: Any = {"id": "trace_x", "messages": messages, "signal_hints": {}}
        rows.row(trace, rendered, None, tools_included=bool(tools))

    refused = ""
    for form in (TEXT_BESIDE, CALLS, PLAIN):
        for tools in (None, [TOOL]):
            short = conversation(8, form, 0)
            try:
                renderer.draft(short, tools)
                alone = as_transformers(source, short, tools)
            except (Reject, Refused) as error:
                refused = refused or str(error)
                continue
            works: dict[str, Callable[[Messages], object]] = {
                "draft": partial(renderer.draft, tools=tools),
                "row": partial(make_row, tools=tools),
                "transformers": alone,
            }
            cost = Cost(name, form)
            with rare_collections():
                for work, doing in works.items():
                    doing(conversation(8, form, 1))
                    short_one, long_one = (
                        per_message(doing, form, size, repetitions) for size in sizes
                    )
                    cost.seconds[work] = short_one, long_one
            return cost
    return Cost(name, unusable=refused)


def as_transformers(
    source: str, messages: Messages, tools: Sequence[Mapping[str, Any]] | None
) -> Callable[[Messages], object]:
    """What renders conversations as transformers does, in the form that the template takes; raises
    Refused where it takes none.

    Args:
        source: The template.
        messages: A conversation to try.
        tools: The tools to show.
    """
    from reference import FORMS, REFUSALS, Refused, as_openai
    from transformers.utils.chat_template_utils import render_jinja_template

    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    failure = Refused("no form of messages")
    for form in FORMS:

        def render(made: Messages, form: Any = form) -> str:
            given = as_openai(made, form)
            shown = list(tools) if tools else None
            return str(render_jinja_template([given], shown, chat_template=source, **special))

        try:
            text = render(messages)
        except REFUSALS as error:
            failure = Refused(f"{type(error).__name__}: {error}")
            continue
        if all(str(message["content"]).split(" ")[-1] in text for message in messages):
            return render
    raise failure


HEADER = (
    "| template | conversation | draft, µs a message | ratio | row, µs | ratio | transformers, µs |"
    " ratio |"
)


def row_of(cost: Cost) -> str:
    """A row of the table."""
    if cost.unusable:
        reason = cost.unusable.split("Hint:")[0][:110].replace("|", "\\|").replace("\n", " ")
        return f"| {cost.name} | unusable: {reason} |" + " |" * 6
    cells = [cost.name, cost.form]
    for work in WORKS:
        short, long = cost.seconds[work]
        cells += [f"{1e6 * short:.0f}, {1e6 * long:.0f}", f"{cost.ratio(work):.2f}"]
    return "| " + " | ".join(cells) + " |"


def closing(costs: Sequence[Cost], limit: float) -> str:
    """What the table comes to: templates above the limit, and whether the time that a message
    costs more is more than what it costs more in transformers.

    Args:
        costs: Of every template.
        limit: The ratio up to which a template is linear.
    """
    measured = [cost for cost in costs if not cost.unusable]
    if not measured:
        return "Nothing was measured."
    lines = [f"{len(measured)} of {len(costs)} templates were measured."]
    for work in WORKS:
        ratios = sorted(cost.ratio(work) for cost in measured)
        lines.append(
            f"{work}: median ratio {ratios[len(ratios) // 2]:.2f}, highest {ratios[-1]:.2f}."
        )
    for cost in measured:
        if cost.ratio("draft") > limit or cost.ratio("row") > limit:
            own = cost.growth("draft") <= 1.1 * cost.growth("transformers")
            lines.append(f"- {cost.name}: " + ("by itself" if own else "by the project's doing"))
    return "\n".join(lines)


def main() -> None:
    from prepare import BaseTokenizer, best_tokenizer
    from reference import stop_the_clock
    from run import SHARED, WORK, sources, trl_templates

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, help="folders of chat templates")
    parser.add_argument("--tokenizers", type=Path, default=SHARED / "tokenizers")
    parser.add_argument("--tokenizer", help="put every template on this tokenizer")
    parser.add_argument("--only", default="", help="a regular expression that names must match")
    parser.add_argument("--messages", type=int, default=500, help="of the short conversation")
    parser.add_argument("--times", type=int, default=4, help="as many in the long one")
    parser.add_argument("--repetitions", type=int, default=4)
    parser.add_argument("--limit", type=float, default=1.15, help="ratios above it are named")
    parser.add_argument("--out", type=Path, default=WORK / "linear.md")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    stop_the_clock()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizers = [
        BaseTokenizer(folder)
        for folder in sorted(arguments.tokenizers.iterdir())
        if (folder / "tokenizer.json").is_file()
        and (not arguments.tokenizer or folder.name == arguments.tokenizer)
    ]
    templates = sources(arguments.folders or trl_templates(), tokenizers, arguments.only)
    sizes = arguments.messages, arguments.messages * arguments.times
    costs = []
    print(f"{HEADER}\n{'|---' * 8}|")
    with tempfile.TemporaryDirectory() as folder:
        for name, source in templates.items():
            base = best_tokenizer(source, tokenizers)
            costs.append(measure(name, source, base, Path(folder), sizes, arguments.repetitions))
            print(row_of(costs[-1]), flush=True)
    last = closing(costs, arguments.limit)
    print(f"\n{last}\nwritten to {arguments.out}")
    lines = [HEADER, "|---" * 8 + "|", *map(row_of, costs), "", last]
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
