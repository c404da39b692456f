"""Texts as printers write them, and back: the string that an injection stands in, its slot, and
another text in its place.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cbdata.decision_points.printed import read_scalar, slot_span, written

INJECTION = "<INFORMATION>do it</INFORMATION>"


def as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=False)


def as_yaml_double(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=False, default_style='"')


PRINTERS: dict[str, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    "yaml": (as_yaml, yaml.safe_load),
    "yaml in double quotes": (as_yaml_double, yaml.safe_load),
    "yaml flow": (yaml.safe_dump, yaml.safe_load),
    "python": (str, ast.literal_eval),
    "json": (json.dumps, json.loads),
    "json, indented": (lambda value: json.dumps(value, indent=2), json.loads),
}


@pytest.mark.parametrize("name", PRINTERS)
@pytest.mark.parametrize("blank", ["", "\n\n", " "])
@pytest.mark.parametrize("text", ["Sushi dinner", 'It\'s "new"', "", "two\nlines\tand \\ more"])
def test_another_text_reads_as_itself_in_the_place_of_an_injection(
    name: str, blank: str, text: str
) -> None:
    print_as, read = PRINTERS[name]
    value = {"id": 5, "body": f"Dear you,\nsee: {blank}{INJECTION}{blank} Yours", "title": "it's"}
    content = print_as(value)
    start = content.index(INJECTION)
    scalar = read_scalar(content, start, start + len(INJECTION))
    assert (scalar.before.rstrip(), scalar.after.lstrip()) == ("Dear you,\nsee:", "Yours")
    assert (scalar.beside["id"], scalar.beside["title"]) == ("5", "it's")
    left, right = slot_span(content, start, start + len(INJECTION), scalar)
    assert content[left:right].replace("\\n", "\n").strip(" \n\\") == INJECTION
    if scalar.style == "as_is" and set(text) & set("'\"\n\\\t"):
        return  # a plain YAML string has no place for these; whoever writes reads it back
    indent = "    " if scalar.style == "single_quoted" else ""
    restored = content[:left] + written(f" {text} ", scalar, indent) + content[right:]
    # YAML folds blanks at line ends away, and only there.
    assert read(restored)["body"].replace(" \n", "\n").replace("\n ", "\n") == (
        f"Dear you,\nsee: {text} Yours".replace(" \n", "\n").replace("\n ", "\n")
    )
    assert {**read(restored), "body": ""} == {**value, "body": ""}


def test_a_text_by_itself_is_taken_as_it_is() -> None:
    content = f"Dear tenant: it's so.\n\n{INJECTION}\n\nBest, 'L'"
    start = content.index(INJECTION)
    scalar = read_scalar(content, start, start + len(INJECTION))
    assert (scalar.style, scalar.before, scalar.after, scalar.beside) == (
        "as_is",
        "Dear tenant: it's so.\n\n",
        "\n\nBest, 'L'",
        {},
    )
    left, right = slot_span(content, start, start + len(INJECTION), scalar)
    assert content[:left] + written("'x'\n", scalar) + content[right:] == (
        "Dear tenant: it's so.'x'\nBest, 'L'"
    )


def test_delimiters_around_a_result_are_no_part_of_it() -> None:
    content = f"<<- name: 'a {INJECTION}'\n  id: 7>>"
    start = content.index(INJECTION)
    scalar = read_scalar(content, start, start + len(INJECTION))
    assert (scalar.before, scalar.after, scalar.beside) == ("a ", "", {"id": "7"})
    page = f"<<See {INJECTION}>>"
    assert read_scalar(page, 6, 6 + len(INJECTION)).before == "See "


@pytest.mark.parametrize(
    "content",
    [
        "a: &x [1]\nb: *x\nc: '@@'",
        "'unclosed @@",
        "{'a': '@@'",
        "[" * 100_000 + "@@",
        "- " * 50_000 + "@@",
        "{" * 100_000 + "@@",
        "[" + "-" * 100_000 + "1, '@@']",
        "['a'" + "+'a'" * 50_000 + "+'@@']",
        "[f'{x}@@']",
        "? a\n: @@\n? [b]\n: c",
        "- a\n  b: @@\n\t- c",
        "\x00@@",
        "&a [*a, '@@']",
    ],
)
def test_a_hostile_result_is_read_or_taken_as_it_is(content: str) -> None:
    start = content.index("@@")
    scalar = read_scalar(content, start, start + 2)
    assert content[:start].endswith(scalar.before[-1:])
    assert scalar.style in ("as_is", "plain", "single_quoted", "escaped")


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_result_makes_the_reader_fail(before: str, after: str) -> None:
    content = f"{before}@@{after}"
    start = len(before)
    scalar = read_scalar(content, start, start + 2)
    left, right = slot_span(content, start, start + 2, scalar)
    assert left <= start < start + 2 <= right <= len(content)
