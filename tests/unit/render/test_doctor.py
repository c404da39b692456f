"""The template doctor's table for the templates in use."""

from __future__ import annotations

from pathlib import Path

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


QWEN3 = {
    "an answer's header": "'<|im_start|>assistant\\n'",
    "an answer's reasoning": "'<think>\\nprobe reasoning\\n</think>'",
    "an answer's content": "'probe text'",
    "an answer's call": (
        '\'<tool_call>\\n{"name": "probe_tool", "arguments": {"x": "y"}}\\n</tool_call>\''
    ),
    "an answer's end": "'<|im_end|>'",
    "reasoning kept": "yes",
    "reasoning of earlier turns kept": "no",
    "chat template": "tokenizer",
    "usable": "yes",
}


def test_what_is_of_each_class(request: pytest.FixtureRequest) -> None:
    found = {each.name: each.value for each in examine(find_setup("qwen3", request).settings())}
    assert {key: found[key] for key in QWEN3} == QWEN3


def test_the_stock_template_and_what_stands_in_for_it(request: pytest.FixtureRequest) -> None:
    found = {
        chosen: next(
            each
            for each in examine(
                find_setup("llama-3.1-stock", request).settings(chat_template=chosen)
            )
            if each.name == "chat template"
        )
        for chosen in ("auto", None)
    }
    assert (found["auto"].value, found[None].value) == ("llama31_tools", "tokenizer")
    assert "instead of the stock one of Llama 3.1 and 3.3" in found["auto"].detail
    assert "drops the text beside a call" in found[None].detail


HOPELESS = {
    "an error in everything": "{{ raise_exception('never') }}",
    "a type error with tools": (
        "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{{ 1 + m.tool_calls if m.tool_calls else '' }}<|im_end|>\n{% endfor %}"
    ),
    "nothing but the last message": "{{ messages[-1].content }}",
    "no Jinja": "{% for m in messages %}",
    "the same for everything": "hello",
    "only users": (
        "{%- for m in messages %}"
        "{% if m.role != 'user' %}{{ raise_exception('users!') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    ),
}


@pytest.mark.parametrize("source", HOPELESS.values(), ids=HOPELESS)
def test_a_table_whatever_the_template_does(
    source: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "odd.jinja").write_text(source)
    settings = find_setup("smollm2", request).settings(chat_template=str(tmp_path / "odd.jinja"))
    found = examine(settings)
    assert found[0].name == "usable"
    assert format_table({"odd": found}).count("\n") == len(found) + 2


def test_fits_that_would_help_are_named(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "no_tools.jinja").write_text(
        "{%- for m in messages %}"
        "{% if m.role == 'tool' %}{{ raise_exception('tools!') }}{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    )
    setup = find_setup("smollm2", request)
    found = examine(setup.settings(chat_template=str(tmp_path / "no_tools.jinja")))
    detail = next(each.detail for each in found if each.name == "tool results")
    assert detail == "template_refused; template_fit: [tool_results_as_user] admits it"


def test_table_is_markdown_with_escaped_bars(request: pytest.FixtureRequest) -> None:
    setup = find_setup("smollm2", request)
    lines = format_table(
        {"one": examine(setup.settings()), "two": examine(setup.settings())}
    ).splitlines()
    assert lines[0] == "| property | one | two |"
    assert {line.replace("\\|", "").count("|") for line in lines} == {4}
