from __future__ import annotations

import json
from pathlib import Path

import pytest

from cbdata.tools import ToolSchemaError, load_tool_schema

GOOD = {
    "version": "v1",
    "tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "object"}}}],
    "system_prompt": "Hi",
}


def test_a_schema_has_names_parameters_and_a_digest_of_its_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(json.dumps(GOOD))
    two.write_text(json.dumps({"$comment": "words", **GOOD}, indent=2))
    schema = load_tool_schema(one)
    assert schema.names == ("a",)
    assert schema.parameters("a") == {"type": "object"}
    assert schema.parameters("b") is None
    assert schema.ref == load_tool_schema(two).ref


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1", "not JSON"),
        ("[]", "top level"),
        (json.dumps({**GOOD, "version": ""}), "version"),
        (json.dumps({**GOOD, "tools": []}), "tools"),
        (json.dumps({**GOOD, "tools": [{"name": "a"}]}), r"tools\[0\]"),
        (json.dumps({**GOOD, "tools": GOOD["tools"] * 2}), "'a' is there twice"),
        (json.dumps({**GOOD, "system_prompt": 1}), "system_prompt"),
    ],
)
def test_a_bad_file_is_named_with_the_place(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ToolSchemaError, match=words) as error:
        load_tool_schema(path)
    assert str(path) in str(error.value)


def test_a_missing_file_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(ToolSchemaError, match="set tool_schema"):
        load_tool_schema(tmp_path / "none.json")
