from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbdata.call_formats.literals import JSON, MAX_DEPTH, PYTHON, Literal, Unreadable, read_literal

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(values, st.sampled_from([None, 2]), st.booleans(), st.text())
def test_reads_what_json_writes_and_stops_after_it(
    value: Any, indent: int | None, ascii_only: bool, after: str
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = read_literal(f"x{text},{after}", 1, JSON)
    assert found == Literal(value, 1 + len(text))


@settings(deadline=None)
@given(values)
def test_reads_what_python_writes(value: Any) -> None:
    text = repr(value)
    assert read_literal(text, 0, PYTHON) == Literal(value, len(text))


@settings(deadline=None)
@given(st.text(alphabet='{}[],:"\\ \n0123456789.eE+-truefalsn\u00e9\ud800'))
def test_takes_no_json_that_orjson_refuses(text: str) -> None:
    found = read_literal(text, 0, JSON)
    assert isinstance(found, Unreadable) or found.value == orjson.loads(text[: found.end])


@settings(deadline=None)
@given(st.text(alphabet=st.characters()), st.sampled_from([JSON, PYTHON]))
def test_says_where_to_go_on(text: str, dialect: Any) -> None:
    found = read_literal(text, 0, dialect)
    if isinstance(found, Unreadable):
        assert 0 <= found.resume <= found.at <= len(text)
    else:
        assert 0 < found.end <= len(text)
        orjson.dumps(found.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "repeated key"),
        ("1e999", "number out of range"),
        ("1e-99999999999999999999", "number out of range"),
        ("9" * 5000, "an integer beyond 64 bits"),
        ("NaN", "not a value"),
        ("01", "not a value"),
        ("[1,]", "unexpected ']'"),
        ("[1 2]", "unexpected number"),
        ('{"a"}', "unexpected '}'"),
        ("{]", "unexpected ']'"),
        ('{"a": "b"', "text ends inside a value"),
        ('"a\nb"', "not a value"),
        ("'a'", "not a value"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested too deeply"),
    ],
)
def test_refused_json(text: str, reason: str) -> None:
    found = read_literal(text, 0, JSON)
    assert isinstance(found, Unreadable)
    assert found.reason == reason


@pytest.mark.parametrize("text", [r'"\ud800"', r'"\x41"', '"\ud800"'])
def test_strings_that_could_not_be_written_again_are_refused(text: str) -> None:
    assert "bad string" in read_literal(text, 0, JSON).reason


def test_the_deepest_literal() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert read_literal(text, 0, JSON).end == 2 * MAX_DEPTH


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'it''s'", "it"),
        (r"'it\'s'", "it's"),
        ("'''two\nlines'''", "two\nlines"),
        ('"""say "hi" now"""', 'say "hi" now'),
        (r"'\d'", r"\d"),
        ("[1, 2,]", [1, 2]),
        ("{'a': True, 'b': null}", {"a": True, "b": None}),
        (".5", 0.5),
        ("+3", 3),
        ("-2.e1", -20.0),
    ],
)
def test_python_literals(text: str, value: Any) -> None:
    assert read_literal(text, 0, PYTHON).value == value


@pytest.mark.parametrize(
    "text",
    [
        "(1, 2)",
        "{1, 2}",
        "b'x'",
        "f'x'",
        "x",
        "007",
        "1_000",
        "0x1f",
        "1j",
        "{1: 2}",
        "'\0'",
        r"'\ud800'",
        "- 1",
    ],
)
def test_what_is_no_plain_literal_is_refused(text: str) -> None:
    assert isinstance(read_literal(text, 0, PYTHON), Unreadable)


def test_integers_beyond_64_bits_are_refused() -> None:
    for text in ("18446744073709551616", "-9223372036854775809", "1" * 300, "1" * 5000):
        for dialect in (JSON, PYTHON):
            found = read_literal(text, 0, dialect)
            assert isinstance(found, Unreadable) and found.reason == "an integer beyond 64 bits"
    for number in (2**64 - 1, -(2**63)):
        assert read_literal(str(number), 0, JSON).value == number


@pytest.mark.parametrize(
    "text", ["0.10000000000000000001", "12345678901234567890.5", "1e-400", "-0", "0.1e-999999999"]
)
def test_numbers_that_would_change_are_refused(text: str) -> None:
    assert isinstance(read_literal(text, 0, JSON), Unreadable)


@pytest.mark.parametrize("text", ["-0.0", "1e22", "0.1", "1.10", "5e-324", "1E+2", "2.50e1"])
def test_numbers_that_a_double_holds_are_kept(text: str) -> None:
    value = read_literal(text, 0, JSON).value
    assert isinstance(value, float) and repr(value) == repr(float(text))
