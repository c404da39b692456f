"""Rows of a file: lines, elements of an array, or one object, each counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.rejects import Reject
from cbdata.sources.raw_lines import parse_object
from cbdata.sources.rows import read_rows


def rows(path: Path, data: bytes) -> list[tuple[int | None, object]]:
    """(number, object or reason) of every row of a file with these bytes."""
    path.write_bytes(data)
    found: list[tuple[int | None, object]] = []
    for row in read_rows(path):
        try:
            found.append((row.number, parse_object(row)))
        except Reject as problem:
            found.append((row.number, problem.reason))
    return found


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.jsonl", b'{"a": 1}\n\nno\n{"b": 2}\n', [(1, {"a": 1}), (3, "not_json"), (4, {"b": 2})]),
        (
            "a.json",
            b'[{"a": 1}, 3,\n {"b": 2}]',
            [(1, {"a": 1}), (2, "not_an_object"), (3, {"b": 2})],
        ),
        ("a.json", b'\n{"a":\n 1}\n', [(None, {"a": 1})]),
        ("a.json", b"[]", [(None, "empty_file")]),
        ("a.json", b"", [(None, "empty_file")]),
        ("a.json", b'[{"a": 1}', [(None, "cut_off")]),
        ("a.json", b"\x1f\x8b...", [(None, "gzip_file")]),
    ],
)
def test_every_row_comes_out_once_with_its_number(
    tmp_path: Path, name: str, data: bytes, expected: list[tuple[int | None, object]]
) -> None:
    found = rows(tmp_path / name, data)
    if expected == [(None, "cut_off")]:
        assert [reason for _, reason in found] in (["cut_off"], ["not_json"])
    else:
        assert found == expected
