"""Every reason is declared, raised somewhere, and documented."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbdata.decision_points.reasons import REASONS as CUT
from cbdata.fill.reasons import PROMPT_REASONS
from cbdata.fill.reasons import REASONS as FILL
from cbdata.judge.outcomes import OUTCOMES
from cbdata.lossmask.reasons import REASONS as LOSSMASK
from cbdata.reasons_page import PAGE, SECTIONS, reasons_page
from cbdata.rejects import Reasons
from cbdata.render.reasons import REASONS as RENDER
from cbdata.sources.reasons import READING
from cbdata.sources.registry import SOURCES

ETL_A: Reasons = {
    **READING,
    **{code: text for source in SOURCES for code, text in source.own_reasons().items()},
}
CBDATA = PAGE.parents[1] / "workflow/scripts/cbdata"
FILL_ALONE = {
    code: meaning
    for code, meaning in FILL.items()
    if code not in OUTCOMES and (code not in RENDER or code in PROMPT_REASONS)
}
CHECKED_ELSEWHERE = {
    ("fill/merge.py", "row['reason']"),
    # What the judge says before anything is generated: its table is tested with it.
    ("fill/judging.py", "*why"),
    # By the first bytes of a file, by what readers do not agree about, and by what a part belongs
    # to: each is raised in test_raw_lines, test_agentdojo and test_message_parts.
    ("sources/raw_bytes.py", "reason"),
    ("render/fit_advice.py", "error.reason"),
    # One that a text encoder raised in another process.
    ("render/encoding_process.py", "*answer"),
    ("sources/raw_lines.py", "error.reason"),
    ("sources/agentdojo_messages.py", "error.reason"),
    ("sources/message_parts.py", "reason"),
    # A reject that another module raised, with a hint.
    ("render/fit_advice.py", "error.reason"),
}
"""The reasons that are not literals; that of a shard file's row comes from the table."""


def first_arguments(room: str) -> Iterator[tuple[Path, ast.expr]]:
    """The first argument of every ``Reject(...)`` in a room of the library."""
    for path in sorted((CBDATA / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            if name == "Reject" and node.args:
                yield path, node.args[0]


def values_in(path: Path) -> Iterator[ast.AST]:
    """Every expression of a module but the keys of dictionaries, which may be a table's own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    keys = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    return (node for node in ast.walk(tree) if id(node) not in keys)


def strings(expression: ast.expr) -> set[str] | None:
    """The values of a literal, or of a choice between literals; None for anything else."""
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        return {expression.value}
    if isinstance(expression, ast.IfExp):
        one, other = strings(expression.body), strings(expression.orelse)
        return None if one is None or other is None else one | other
    return None


@pytest.mark.parametrize(
    ("room", "table"),
    [
        ("sources", ETL_A),
        ("decision_points", CUT),
        ("render", RENDER),
        ("lossmask", LOSSMASK),
        ("fill", FILL),
    ],
)
def test_what_a_room_raises_is_in_its_table(room: str, table: Reasons) -> None:
    raised: set[str] = set()
    for _, argument in first_arguments(room):
        raised |= strings(argument) or set()
    assert raised and raised <= set(table)


def test_every_other_reason_is_checked_elsewhere() -> None:
    found = {
        (str(path.relative_to(CBDATA)), ast.unparse(argument))
        for path, argument in first_arguments(".")
        if strings(argument) is None
    }
    assert found == CHECKED_ELSEWHERE


@pytest.mark.parametrize(
    ("room", "table"),
    [
        ("sources", ETL_A),
        ("decision_points", CUT),
        ("render", RENDER),
        ("lossmask", LOSSMASK),
        ("fill", FILL_ALONE),
        ("judge", OUTCOMES),
    ],
)
def test_no_entry_of_a_table_is_out_of_use(room: str, table: Reasons) -> None:
    written = {
        node.value
        for path in (CBDATA / room).rglob("*.py")
        if path.name != "reasons.py"
        for node in values_in(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert [code for code in table if code not in written] == []


def test_rejects_are_raised_in_the_rooms_of_the_stages_alone() -> None:
    rooms = {path.relative_to(CBDATA).parts[0] for path, _ in first_arguments(".")}
    assert rooms == {"sources", "decision_points", "render", "lossmask", "fill"}


def test_the_page_is_that_of_the_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == reasons_page(), (
        "docs/reasons.md is out of date: make reasons"
    )


def test_the_page_has_every_reason_once_in_its_stage_s_part() -> None:
    listed = [(title, code) for title, _, reasons in SECTIONS for code in reasons]
    assert len(listed) == len(set(listed))
    assert {code for _, code in listed} == {*ETL_A, *CUT, *RENDER, *LOSSMASK, *FILL}
    page = reasons_page()
    assert all(page.count(f"| `{code}` |") >= 1 for _, code in listed)
    assert all("|" not in meaning for _, _, reasons in SECTIONS for meaning in reasons.values())
