"""JSON Lines of the project's own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.jsonl import JsonlError, dumps, read_records

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(records=st.lists(st.dictionaries(st.text(), values), max_size=4))
def test_what_is_written_is_read_whatever_line_breaks_the_texts_hold(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    lines = [dumps(record) for record in records]
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)
    path.write_bytes(b"".join(lines))
    assert list(read_records(path)) == list(enumerate(records, start=1))


@pytest.mark.parametrize(
    ("second", "got"),
    [(b'{"a": 1', "unexpected end"), (b"[1]", "list"), (b"", "b'"), (b'{"a": NaN}', "b'")],
)
def test_a_bad_line_is_named(tmp_path: Path, second: bytes, got: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' + second + b"\n")
    rows = read_records(path)
    assert next(rows) == (1, {"a": 1})
    with pytest.raises(JsonlError, match=rf"a\.jsonl:2: expected a JSON object, got .*{got}"):
        next(rows)
