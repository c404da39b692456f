"""docs/judge.md says what the registry and the judge have."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from cbdata.call_formats.base import CallFormat
from cbdata.call_formats.registry import FORMATS
from cbdata.judge.outcomes import OUTCOMES
from cbdata.tools import ToolSchema

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "judge.md"


def row(each: CallFormat, tools: ToolSchema) -> str:
    """A format's line of the table."""
    about = sys.modules[type(each).__module__].__doc__ or ""
    first = re.split(r"(?<=\.)\s", about.strip(), maxsplit=1)[0]
    said = " ".join(first.split()).replace("``", "`").replace("|", "\\|")
    opened = ", ".join(f"`{each.opening}`" for each in each.reasoning) or "a channel"
    bare = "yes" if each.always_marked else "may be bare"
    grammar = "yes" if each.grammar(tools) is not None else "no"
    return f"| `{each.name}` | {said} | {bare} | {opened.replace('|', chr(92) + '|')} | {grammar} |"


def test_every_format_has_its_line(b4_tools: ToolSchema) -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    wanted = [row(each, b4_tools) for each in FORMATS.values()]
    found = [line for line in lines if re.match(r"\| `\w+` \|.*\|.*\|.*\| (?:yes|no) \|$", line)]
    assert sorted(found) == sorted(wanted), "\n".join(wanted)


def test_every_outcome_is_explained() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert [
        name for name, meaning in OUTCOMES.items() if f"| `{name}` | {meaning} |" not in text
    ] == []


def test_the_example_prints_what_the_page_shows(tmp_path: Path) -> None:
    fences = re.findall(r"```(json|console)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (_, rows), (_, session), (_, shown) = fences
    (tmp_path / "completions.jsonl").write_text(rows, encoding="utf-8")
    command, _, printed = session.partition(" --format hermes_json\n")
    assert command.startswith("$ python workflow/scripts/judge_completions.py completions.jsonl")
    for options, wanted in (([], printed), (["--json"], " ".join(shown.split()))):
        done = subprocess.run(
            [
                *(sys.executable, str(ROOT / "workflow" / "scripts" / "judge_completions.py")),
                *("completions.jsonl", "--tool-schema"),
                str(ROOT / "configs" / "tool_schemas" / "b4_standard_v1.json"),
                *("--format", "hermes_json", *options),
            ],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            timeout=120,
        )
        if options:
            assert json.loads(done.stdout.splitlines()[0]) == json.loads(wanted)
        else:
            assert done.stdout == wanted
