"""Write cbdata/sources/agentdojo_wordings.json: how AgentDojo's benchmark versions word its tasks.

Not a script of a rule. It needs the ``agentdojo`` package, whose dependencies do not go together
with the project's, so it runs in an environment of its own and imports little of the project; see
configs/tool_schemas/README.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from cbdata.decision_points.export_table import VERSIONS

TABLE = Path(__file__).parent / "cbdata/sources/agentdojo_wordings.json"


def collect(versions: Sequence[str]) -> dict[str, list[str]]:
    """The wordings of every user task and every goal.

    Args:
        versions: Versions of AgentDojo's suites.

    Returns:
        By ``{suite}/{task}``, the texts of all versions without repeats, the oldest first.
    """
    from agentdojo.task_suite.load_suites import get_suites

    found: dict[str, list[str]] = {}
    for each in versions:
        for name, suite in get_suites(each).items():
            texts = {task: user_task.PROMPT for task, user_task in suite.user_tasks.items()}
            texts |= {task: injection.GOAL for task, injection in suite.injection_tasks.items()}
            for task, text in texts.items():
                known = found.setdefault(f"{name}/{task}", [])
                if text not in known:
                    known.append(text)
    return {name: found[name] for name in sorted(found, key=_by_number)}


def _by_number(name: str) -> tuple[str, int]:
    kind, _, number = name.rpartition("_")
    return kind, int(number)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TABLE, help="the file (default %(default)s)")
    path = parser.parse_args().out
    table = {
        "comment": (
            f"Written by workflow/scripts/{Path(__file__).name} from agentdojo"
            f" {version('agentdojo')} (MIT), suites {VERSIONS[0]} to {VERSIONS[-1]}. Do not edit."
        ),
        "wordings": collect(VERSIONS),
    }
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path}: {len(table['wordings'])} tasks")


if __name__ == "__main__":
    main()
