"""The template doctor's table for the templates in use."""

from __future__ import annotations

import pytest

from cbdata.render.doctor import examine, format_table
from tests.unit.render.setups import find_setup

TABLE = {
    "tools known": ("yes", "yes", "yes", "no"),
    "calls known": ("yes", "yes", "yes", "no"),
    "text kept beside calls": ("no", "yes", "yes", "yes"),
    "several calls": ("no", "yes", "yes", "yes"),
    "tool results": ("yes", "yes", "yes", "yes"),
    "text unchanged": ("no", "yes", "yes", "yes"),
    "null content": ("yes", "yes", "no", "not tried"),
    "prefix-stable": ("yes", "no", "no", "yes"),
    "end of turn trained": ("yes", "yes", "yes", "yes"),
    "prompt is a prefix": ("yes", "yes", "yes", "yes"),
    "one BOS": ("yes", "yes", "none printed", "none printed"),
    "ids of the whole text": ("yes", "yes", "yes", "yes"),
    "call format": ("llama_json", "llama_json", "hermes_json", "hermes_json"),
    "reasoning open in the prompt": ("never", "never", "never", "never"),
}


@pytest.mark.parametrize(
    ("column", "name"), list(enumerate(["llama-3.1-stock", "llama-3.1", "qwen3", "smollm2"]))
)
def test_properties(column: int, name: str, request: pytest.FixtureRequest) -> None:
    found = {
        finding.name: finding.value for finding in examine(find_setup(name, request).settings())
    }
    assert {key: found[key] for key in TABLE} == {key: row[column] for key, row in TABLE.items()}


def test_table_is_markdown_with_escaped_bars(request: pytest.FixtureRequest) -> None:
    setup = find_setup("smollm2", request)
    lines = format_table(
        {"one": examine(setup.settings()), "two": examine(setup.settings())}
    ).splitlines()
    assert lines[0] == "| property | one | two |"
    assert {line.replace("\\|", "").count("|") for line in lines} == {4}
