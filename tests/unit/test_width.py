"""No line of code or documentation is longer than 100 characters. Ruff holds Python to it (E501)
and snakefmt the code of rule files; this test holds everything else, prose first of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

WIDTH = 100
FOLDERS = (
    *(".ci", "benchmarks", "config", "configs", "docs"),
    *("profiles", "tests", "tools", "workflow"),
)

HELD = {
    *(".md", ".rst"),
    *(".yaml", ".yml", ".cff", ".toml", ".txt"),
    *(".smk", "Snakefile"),
    *("Makefile", ".sh", "run", ".gitignore"),
    *(".js", ".css"),
}
"""Suffixes of the files that this test reads; the whole name of files without a suffix."""

EXEMPT = {
    ".py": "ruff holds it, and asks for a reason beside each exception",
    ".pyc": "compiled",
    ".json": "a string of JSON cannot be broken",
    ".jsonl": "data, one record a line",
    ".jinja": "white space in a template is part of what it prints, and chat templates are pinned",
    ".svg": "drawn by a program",
    ".png": "not text",
}
"""Suffixes of the files that may have longer lines, with the reason."""

ITEM = re.compile(r"^\s*(?:[-*]|\d+\.|#+|>)\s+")
UNBREAKABLE = re.compile(r"(?:`[^`]*`|!?\[[^\]]*\]\([^)]*\)|\S)+")
ADDRESS = re.compile(r"https?://\S+")


def kind(path: Path) -> str:
    return path.suffix or path.name


def too_long(name: str, text: str) -> list[int]:
    """The numbers, from 1, of the lines over ``WIDTH``. Allowed are an address that is longer by
    itself and, in Markdown, tables, blocks of code (commands and output stand as they are), and a
    single link or piece of code.
    """
    markdown = name.endswith(".md")
    found = []
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if markdown and line.lstrip().startswith("```"):
            fenced = not fenced
            continue
        if len(line.expandtabs(4)) <= WIDTH:
            continue
        if any(len(address) > WIDTH - 4 for address in ADDRESS.findall(line)):
            continue
        if markdown and (
            fenced
            or line.startswith(("|", "    "))
            or UNBREAKABLE.fullmatch(ITEM.sub("", line).strip())
        ):
            continue
        found.append(number)
    return found


def files(repo: Path) -> Iterator[Path]:
    """The files in the project's folders, links apart, and those at its root that are held: reports
    and archives that somebody writes there are nobody's text.
    """
    yield from (path for path in sorted(repo.iterdir()) if path.is_file() and kind(path) in HELD)
    for folder in FOLDERS:
        yield from (
            path
            for path in sorted((repo / folder).rglob("*"))
            if path.is_file() and not path.is_symlink()
        )


def test_no_line_is_too_long(repo: Path) -> None:
    held = [path for path in files(repo) if kind(path) in HELD]
    assert {repo / "README.md", repo / "Makefile", repo / "workflow/rules/fill.smk"} <= set(held)
    found = {
        str(path.relative_to(repo)): numbers
        for path in held
        if (numbers := too_long(path.name, path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_every_kind_of_file_is_held_or_exempt_with_a_reason(repo: Path) -> None:
    kinds = {kind(path) for path in files(repo)}
    assert kinds - HELD - set(EXEMPT) == set()
    assert HELD & set(EXEMPT) == set()


LONG = "word " * 25


@pytest.mark.parametrize(
    ("name", "text", "numbers"),
    [
        ("a.md", f"short\n{LONG}", [2]),
        ("a.md", f"- {LONG}", [1]),
        ("a.md", f"# {LONG}", [1]),
        ("a.md", f"see [{LONG}](b.md) there", [1]),
        ("a.md", f"[{LONG}](b.md)", []),
        ("a.md", f"- `{LONG}`", []),
        ("a.md", f"| {LONG} |", []),
        ("a.md", f"```\n{LONG}\n```\n{LONG}", [4]),
        ("a.md", f"    {LONG}", []),
        ("a.md", "see https://example.org/" + "x" * 100, []),
        ("a.md", f"{LONG} https://example.org/", [1]),
        ("a.yaml", f"# {LONG}", [1]),
        ("a.yaml", f"| {LONG} |", [1]),
        ("a.rst", LONG, [1]),
        ("Makefile", "\t" + "x" * 97, [1]),
        ("Makefile", "\t" + "x" * 96, []),
    ],
)
def test_what_counts_as_too_long(name: str, text: str, numbers: list[int]) -> None:
    assert too_long(name, text) == numbers
