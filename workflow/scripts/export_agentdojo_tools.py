"""Write configs/tool_schemas/agentdojo_<suite>_v1.json: the tools of AgentDojo's suites as its
models are shown them; or those of a benchmark built on it, such as AgentDyn.

Not a script of a rule. It needs the ``agentdojo`` package, whose dependencies do not go together
with the project's, so it runs in an environment of its own and imports nothing of the project; see
configs/tool_schemas/README.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

SCHEMA_VERSION = "v1"


class Function(Protocol):
    """The part of ``agentdojo.functions_runtime.Function`` that is exported; ``parameters`` is a
    pydantic model.
    """

    name: str
    description: str
    parameters: Any


def tool_schema(
    suite: str,
    functions: Sequence[Function],
    system_prompt: str,
    origin: str,
    benchmark: str = "agentdojo",
) -> dict[str, Any]:
    """Make the tool schema file of one suite. Parameters are pydantic's JSON Schema as it stands,
    which is what AgentDojo's OpenAI adapter sends.

    Args:
        suite: Name of the suite.
        functions: Its tools.
        system_prompt: The system prompt of AgentDojo's agents.
        origin: Where the tools come from, with the version, for the file's comment.
        benchmark: What the file's name begins with.
    """
    return {
        "version": f"{benchmark}_{suite}_{SCHEMA_VERSION}",
        "comment": (
            f"Written by workflow/scripts/export_agentdojo_tools.py from {origin} (MIT). Do not"
            " edit."
        ),
        "system_prompt": system_prompt,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": function.name,
                    "description": function.description,
                    "parameters": function.parameters.model_json_schema(),
                },
            }
            for function in functions
        ],
    }


def main() -> None:
    """Write one file per suite of a benchmark version."""
    from agentdojo.agent_pipeline.agent_pipeline import load_system_message
    from agentdojo.task_suite.load_suites import get_suites

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--benchmark-version",
        default="v1.2.2",
        help="version of AgentDojo's suites (default %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("configs/tool_schemas"),
        help="folder to write to (default %(default)s)",
    )
    parser.add_argument(
        "--benchmark",
        default="agentdojo",
        help="benchmark that the installed package is, agentdojo or agentdyn (default %(default)s)",
    )
    parser.add_argument("--suites", nargs="+", help="write these suites only (default: all)")
    arguments = parser.parse_args()
    benchmark, wanted = arguments.benchmark, arguments.suites
    origin = f"{benchmark} {version('agentdojo')}, suites {arguments.benchmark_version}"
    suites = get_suites(arguments.benchmark_version)
    if unknown := sorted(set(wanted or ()) - set(suites)):
        parser.error(f"--suites: {', '.join(unknown)}: expected some of {', '.join(suites)}")
    for name, suite in sorted(suites.items()):
        if wanted and name not in wanted:
            continue
        schema = tool_schema(name, suite.tools, load_system_message(None), origin, benchmark)
        path = arguments.out / f"{schema['version']}.json"
        path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path}: {len(schema['tools'])} tools")


if __name__ == "__main__":
    main()
