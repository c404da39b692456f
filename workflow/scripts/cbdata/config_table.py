"""The table of all configuration keys (config/README.md), made from the schema: ``python -m
cbdata.config_table``.
"""

from __future__ import annotations

import json
from typing import Any

from cbdata.config import config_schema
from cbdata.paths import CONFIG_README

START = "<!-- table: made by `make config-table` from workflow/schemas/config.schema.yaml -->"


def config_table() -> str:
    """Markdown: a row per key with the sbatch variable it replaces, type, default, meaning and what
    a change makes anew.
    """
    head = [
        "| key | sbatch variable | type | default | meaning | made anew when it changes |",
        "|---|---|---|---|---|---|",
    ]
    return (
        "\n".join(
            [*head, *(_row(key, spec) for key, spec in config_schema()["properties"].items())]
        )
        + "\n"
    )


def _row(key: str, spec: dict[str, Any]) -> str:
    kinds = spec.get("enum") or spec["type"]
    if isinstance(kinds, list):
        kinds = " or ".join("null" if kind is None else str(kind) for kind in kinds)
    default = spec["default"]
    shown = (
        json.dumps(default, ensure_ascii=False)
        if not isinstance(default, str) or not default
        else default
    )
    seed = spec.get("x-seed", "(new)")
    cells = [
        f"`{key}`",
        seed,
        kinds,
        f"`{shown}`",
        spec["description"],
        spec["x-reruns"].replace("*", r"\*"),
    ]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def main() -> None:
    """Write the table into config/README.md, below its marker."""
    text = CONFIG_README.read_text(encoding="utf-8")
    CONFIG_README.write_text(
        text[: text.index(START) + len(START)] + "\n\n" + config_table(), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
