"""Traced texts: the same string as without them, and origins that point at the right characters."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.render.thinking import left_out
from cbdata.render.traced_text import (
    Origin,
    TracedText,
    as_text,
    concat,
    join,
    leaves_of,
    traced,
    traced_leaves,
)

A, B = Origin("content", 0), Origin("content", 1)
TEXT = st.text(alphabet='ab \n\t"\\é😀,', max_size=8)


def shown(value: str, origin: Origin) -> str:
    """What a traced text says is of an origin."""
    return (
        "".join(
            str.__str__(value)[part.start : part.end]
            for part in value.parts
            if part.origin == origin
        )
        if isinstance(value, TracedText)
        else ""
    )


def agrees(value: str, origin: Origin, source: str) -> None:
    """Every stretch of an origin is the stretch of the source that it names."""
    if isinstance(value, TracedText):
        for part in value.parts:
            if part.origin == origin and part.escape is None:
                assert (
                    str.__str__(value)[part.start : part.end]
                    == source[part.source : part.source + part.end - part.start]
                )
            elif part.origin == origin:
                assert (
                    str.__str__(value)[part.start : part.end]
                    == json.dumps(part.escape, ensure_ascii=False)[1:-1]
                )


@given(TEXT, TEXT, TEXT, st.integers(-9, 9), st.integers(-9, 9))
def test_operations_give_plain_strings_result_and_right_origins(
    first: str, second: str, literal: str, low: int, high: int
) -> None:
    one, two = traced(first, A), traced(second, B)
    operations = [
        lambda a, b: a + b,
        lambda a, b: literal + a + literal + b,
        lambda a, b: (literal + a).strip(),
        lambda a, b: (a + b + literal).lstrip("\n "),
        lambda a, b: (literal + a + b).rstrip(" a"),
        lambda a, b: (a + literal + b)[low:high],
        lambda a, b: (a + literal + b)[high],
        lambda a, b: (a + b).replace("a", literal),
        lambda a, b: (a + literal + b).replace("ab", "", 1),
        lambda a, b: (a + literal + b).split(",")[-1],
        lambda a, b: ",".join((a + b).split()),
        lambda a, b: (a + b).upper(),
        lambda a, b: concat([a, literal, b]),
        lambda a, b: join(literal, [a, b, a]),
    ]
    for operation in operations:
        try:
            expected: object = operation(first, second)
        except IndexError:
            with pytest.raises(IndexError):
                operation(one, two)
            continue
        value = operation(one, two)
        assert value == expected
        agrees(value, A, first)
        agrees(value, B, second)


@given(TEXT, TEXT)
def test_nothing_of_a_concatenation_is_lost(first: str, second: str) -> None:
    value = "<" + traced(first, A) + "|" + traced(second, B) + ">"
    assert shown(value, A) == first
    assert shown(value, B) == second


@given(st.recursive(TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)))
def test_python_s_own_form_keeps_every_string(value: object) -> None:
    marked = traced_leaves(value, A)
    text = as_text(marked)
    assert text == str(value)
    if not isinstance(value, str):
        leaves = [leaf for leaf in leaves_of(value) if isinstance(leaf, str)]
        parts = text.parts if isinstance(text, TracedText) else ()
        assert [part.origin.leaf for part in parts] == list(range(len(leaves)))
        assert [part.covered() for part in parts] == list(map(len, leaves))


@given(TEXT, st.sampled_from(["'", '"', "\\", "\n"]))
def test_escaping_by_replacement_keeps_what_is_escaped(text: str, old: str) -> None:
    new = "\\n" if old == "\n" else "\\" + old
    value = traced(text, A).replace(old, new)
    assert value == text.replace(old, new)
    assert left_out(text, value.parts if isinstance(value, TracedText) else ()) == ""


def test_an_empty_stretch_keeps_its_place() -> None:
    value = "ab" + traced("", A) + "cd"
    assert [(part.start, part.end) for part in value.parts] == [(2, 2)]
    assert [(part.start, part.end) for part in value.strip().parts] == [(2, 2)]
