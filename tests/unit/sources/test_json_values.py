"""Values of a JSON stream are cut where a parser would end them, in whatever pieces they come."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.sources.json_values import Value, split_values

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\[]{},:\n é🏢'),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["k", '"}']), inner)
    ),
    max_leaves=4,
)
CONTAINERS = st.lists(JSON, max_size=2) | st.dictionaries(st.sampled_from("ab"), JSON)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def split(data: bytes, *, array: bool, size: int = 7, limit: int = 1 << 20) -> list[Value]:
    return list(
        split_values(pieces(data, size), array=array, max_bytes=limit, head_bytes=5),
    )


def read(values: list[Value]) -> list[Any]:
    assert all(value.data is not None and value.closed for value in values)
    return [json.loads(value.data or b"") for value in values]


@given(
    st.lists(JSON, max_size=3),
    st.integers(1, 9),
    st.sampled_from([None, 0, 2, "\t"]),
    st.booleans(),
)
def test_the_elements_of_an_array(
    elements: list[Any], size: int, indent: Any, ascii_only: bool
) -> None:
    data = json.dumps(elements, indent=indent, ensure_ascii=ascii_only).encode()
    assert read(split(b" \n" + data + b"\n", array=True, size=size)) == elements


@given(
    st.lists(CONTAINERS, max_size=3), st.integers(1, 9), st.sampled_from(["", " ", "\n", "\r\n\n"])
)
def test_values_one_after_the_other(values: list[Any], size: int, between: str) -> None:
    data = between.join(json.dumps(value, indent=1) for value in values).encode()
    assert read(split(data, array=False, size=size)) == values


@given(st.text('[]{},"\\ \n1').map(str.encode), st.integers(1, 4), st.booleans())
def test_no_byte_is_lost_of_what_is_no_json(data: bytes, size: int, array: bool) -> None:
    """But for blanks, and for the commas and the brackets of an array."""
    data = b"[" + data if array else data
    left = b"".join(value.data or b"" for value in split(data, array=array, size=size))
    mark = b" \n[]," if array else b" \n"
    assert left.translate(None, mark) == data.translate(None, mark)


@given(st.text('[]{},"\\1').map(str.encode), st.integers(1, 4), st.integers(1, 30), st.booleans())
def test_the_size_of_the_pieces_means_nothing(
    data: bytes, size: int, limit: int, array: bool
) -> None:
    data = b"[" + data if array else data
    whole = split(data, array=array, size=len(data) + 1, limit=limit)
    cut = split(data, array=array, size=size, limit=limit)
    assert [value._replace(head=b"") for value in cut] == [
        value._replace(head=b"") for value in whole
    ]


def test_values_know_the_line_that_they_begin_in() -> None:
    data = b'\n{\n "a": 1\n}\n\n  {"b":\n2} {"c": 3}\n'
    assert [value.line for value in split(data, array=False)] == [2, 6, 7]
    assert [value.line for value in split(b'[\n{"a":\n1},\n\n2]', array=True)] == [2, 5]


def test_a_stream_that_ends_within_a_value() -> None:
    values = split(b'{"a": 1}\n{"b": [', array=False)
    assert [value.closed for value in values] == [True, False]
    assert values[1].data == b'{"b": ['
    assert [value.closed for value in split(b"[1, 2", array=True)] == [True, False]
    assert [value.data for value in split(b"[1, ", array=True)] == [b"1", b""]


def test_what_stands_behind_an_array_is_a_value_too() -> None:
    values = split(b'[{"a": 1}] , {"b": 2} x', array=True)
    assert [value.data for value in values] == [b'{"a": 1}', b', {"b": 2}', b"x"]


@pytest.mark.parametrize("array", [True, False])
def test_a_value_over_the_limit_is_passed_over_without_being_held(array: bool) -> None:
    """Whether it is long by its string or by its many parts."""
    start, comma, end = (b"[", b",", b"]") if array else (b"", b"\n", b"\n")

    def stream():
        yield start + b'{"a": 1}' + comma + b'{"long": "'
        yield from (b'x\\"' * 10_000 for _ in range(20))
        yield b'"}' + comma + b'{"many": ['
        yield from (b'{"b": []},' * 3000 for _ in range(8))
        yield b"0]}" + comma + b'{"c": 3}' + end

    tracemalloc.start()
    values = list(split_values(stream(), array=array, max_bytes=1 << 16, head_bytes=5))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [value.data for value in values] == [b'{"a": 1}', None, None, b'{"c": 3}']
    assert values[1].length == 600_000 + len(b'{"long": ""}') and values[1].head == b'{"lon'
    assert values[2].length == 240_000 + len(b'{"many": [0]}')
    assert peak < 1 << 19
