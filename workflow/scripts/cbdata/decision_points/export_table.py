"""How the scripts write their tables that read AgentDojo's package: ``export_agentdojo_goals.py``
and ``export_agentdojo_defaults.py``. Imports nothing but the standard library, since they run in an
environment of their own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

VERSIONS = ("v1", "v1.1", "v1.1.1", "v1.1.2", "v1.2", "v1.2.1", "v1.2.2")
"""The versions of AgentDojo's suites that tables are made of."""

Entries = dict[str, Any]


def write_table(
    script: str,
    description: str | None,
    folder: str,
    key: str,
    collect: Callable[[Sequence[str]], Entries],
    merged: Callable[[Entries, Entries], Entries],
) -> None:
    """Write ``agentdojo_v1.json`` from the package and what a person settled, which stands in
    ``agentdojo_reviewed.json`` beside it.

    Args:
        script: The path of the script that does it, for the table's comment.
        description: What ``--help`` says.
        folder: Where the table goes by default.
        key: The table's key of its entries, in both files.
        collect: Gives the package's entries in some versions of the suites.
        merged: Puts what was settled into these.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--out", type=Path, default=Path(folder), help="folder of the tables (default %(default)s)"
    )
    out = parser.parse_args().out
    reviewed = json.loads((out / "agentdojo_reviewed.json").read_text(encoding="utf-8"))
    table = {
        "version": "agentdojo_v1",
        "comment": (
            f"Written by workflow/scripts/{Path(script).name} from agentdojo"
            f" {version('agentdojo')} (MIT), suites {VERSIONS[0]} to {VERSIONS[-1]}, and"
            " agentdojo_reviewed.json. Do not edit."
        ),
        key: merged(collect(VERSIONS), reviewed[key]),
    }
    path = out / "agentdojo_v1.json"
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path}: {len(table[key])} {key}")
