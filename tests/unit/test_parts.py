"""Parts of a file of lines: each line in one part, numbered as in the file."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.counted_file import open_counted
from cbdata.parts import WHOLE, Part, part_of


@given(st.lists(st.binary(max_size=9).filter(lambda line: b"\n" not in line)), st.integers(1, 7))
def test_the_parts_are_the_file(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], of: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    found = []
    for number in range(of):
        with open_counted(path) as handle:
            found += Part(number, of).lines(handle)
    assert found == [(number, line + b"\n") for number, line in enumerate(lines, start=1)]


def test_a_last_line_without_its_newline_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo")
    found = []
    for number in range(3):
        with open(path, "rb") as handle:
            found += Part(number, 3).lines(handle)
    assert found == [(1, b"one\n"), (2, b"two")]


def test_parts_are_counted_from_0() -> None:
    assert part_of({"part": "2", "parts": "3"}) == Part(2, 3)
    assert part_of({"name": "x"}) is WHOLE
    assert list(WHOLE.lines(BytesIO(b"a\nb"))) == [(1, b"a\n"), (2, b"b")]
    for number in (-1, 3):
        with pytest.raises(ValueError, match=r"expected 0 <= number < of"):
            Part(number, 3)
