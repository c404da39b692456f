"""The page of all reasons (docs/reasons.md), made from the tables of the stages: ``python -m
cbdata.reasons_page``.
"""

from __future__ import annotations

import textwrap

from cbdata.decision_points.reasons import REASONS as CUT
from cbdata.fill.reasons import REASONS as FILL
from cbdata.hints import hints_of
from cbdata.judge.outcomes import OUTCOMES
from cbdata.lossmask.reasons import REASONS as LOSSMASK
from cbdata.paths import ROOT
from cbdata.rejects import Reasons
from cbdata.render.reasons import REASONS as RENDER
from cbdata.sources.reasons import READING
from cbdata.sources.registry import SOURCES

PAGE = ROOT / "docs/reasons.md"
INTRODUCTION = """\
# Reasons of reject rows

<!-- made by `make reasons` from the tables of reasons in workflow/scripts/cbdata -->

A record that cannot pass a stage becomes a row in `rejects/{stage}/{name}.jsonl`. The row names
the file and line of the record, the `reason`, and a `detail` with what was found in this record.
`stats/{stage}/{name}.json` counts the rows by reason. These are all the reasons that exist.
"""
SECTIONS: tuple[tuple[str, str, Reasons], ...] = (
    ("ETL_A: raw records of any source (`rejects/etl_a`)", "", READING),
    *(
        (f"ETL_A: raw records of {source.name} (`rejects/etl_a`)", "", source.own_reasons())
        for source in SOURCES
    ),
    (
        "Cut: decision points of traces (`rejects/cut`)",
        "Every trace is checked first, so `invalid_trace` of the render stage can stand here too.",
        {code: meaning for code, meaning in CUT.items() if code not in RENDER},
    ),
    (
        "Fill: skeletons (`rejects/fill`)",
        (
            "The prompt of a skeleton is rendered here, so every reason of the render stage can"
            " stand here too."
        ),
        {
            code: meaning
            for code, meaning in FILL.items()
            if code not in RENDER and code not in OUTCOMES
        },
    ),
    (
        "Fill: completions (`rejects/fill`)",
        (
            "The judge gives every completion an outcome. If no try for a skeleton was accepted,"
            " the outcome of the last try is the reason of the reject."
        ),
        OUTCOMES,
    ),
    ("Render: traces (`rejects/render`)", "", RENDER),
    ("Loss masks: renders (`rejects/lossmask`)", "", LOSSMASK),
)


STAGE_OF = {
    "ETL_A": "etl_a",
    "Cut": "cut",
    "Fill": "fill",
    "Render": "render",
    "Loss masks": "lossmask",
}
"""How the titles of the sections begin -> the stage whose hints stand in them."""


def reasons_page() -> str:
    """The whole page as Markdown: one table per kind of record."""
    parts = [INTRODUCTION]
    for title, text, reasons in SECTIONS:
        parts.append(f"## {title}\n")
        if text:
            parts.append(textwrap.fill(text, 100) + "\n")
        hints = hints_of(STAGE_OF[title.split(":")[0]])
        rows = [
            f"| `{code}` | {meaning} | {hints.get(code, '')} |\n"
            for code, meaning in reasons.items()
        ]
        head = ["| reason | meaning | what helps where it is frequent |\n", "|---|---|---|\n"]
        parts.append("".join([*head, *rows]))
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    PAGE.write_text(reasons_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
