from __future__ import annotations

from pathlib import Path

from cbdata.json_file import indented, write_json


def test_indented_in_the_given_order_with_a_newline_at_the_end(tmp_path: Path) -> None:
    value = {"b": [1, None], "a": "ü"}
    text = '{\n  "b": [\n    1,\n    null\n  ],\n  "a": "ü"\n}\n'.encode()
    assert indented(value) == text
    write_json(tmp_path / "new" / "x.json", value)
    assert (tmp_path / "new" / "x.json").read_bytes() == text
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.json"]
