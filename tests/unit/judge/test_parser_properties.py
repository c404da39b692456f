"""What holds for every completion: no input raises, and the work grows with the length of the
text.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbdata.call_formats import literals
from cbdata.judge import calls
from cbdata.judge.parser import parse_completion

FRAGMENTS = [
    *(
        "<|python_tag|>",
        "<tool_call>",
        "</tool_call>",
        "<think>",
        "</think>",
        "<|eot_id|>",
        "<|im_end|>",
        "```json\n",
        "```",
        "`",
    ),
    *(
        '{"name": "a", "parameters": {"q": "x"}}',
        '{"name": "a", "arguments": "{}"}',
        '{"name": "a"',
        '{"type": "function", "function": {',
    ),
    *(
        "a(q='x')",
        "a(q=",
        "[a(q=1), ",
        "a()",
        "'''",
        '"""',
        "\\",
        '"',
        "'",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        ",",
        ";",
        ":",
        ": ",
        "\n",
        " ",
        "=",
    ),
    *("true", "None", "1e5", "caf\u00e9", "\U0001f600", "\ud800", "\x00", "prose "),
]
soups = st.lists(
    st.sampled_from(FRAGMENTS) | st.text(alphabet=st.characters(), max_size=3), max_size=30
).map("".join)


@settings(deadline=None)
@given(soups, st.sampled_from([None, (), ("a",)]))
def test_no_input_raises_and_every_call_is_where_it_says(text: str, known: Any) -> None:
    parsed = parse_completion(text, known)
    assert parsed.kind in ("calls", "no_call", "malformed")
    assert (parsed.kind == "malformed") == bool(parsed.detail)
    assert parsed.kind != "calls" or parsed.calls
    assert parsed.kind != "no_call" or not parsed.calls
    end = 0
    for call in parsed.calls:
        assert end <= call.start < call.end <= len(text)
        assert call.raw == text[call.start : call.end]
        orjson.dumps(call.arguments)
        end = call.end


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
tool_names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
tool_arguments = st.dictionaries(
    st.from_regex(r"[a-z]{1,6}", fullmatch=True), json_values, max_size=3
)
tool_calls = st.lists(st.tuples(tool_names, tool_arguments), min_size=1, max_size=4)
LAYOUTS = {
    "python_tag": lambda bodies: "<|python_tag|>" + "; ".join(bodies) + "<|eom_id|>",
    "list": lambda bodies: "[" + ", ".join(bodies) + "]<|eot_id|>",
    "hermes": lambda bodies: (
        "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in bodies) + "<|im_end|>"
    ),
    "lines": lambda bodies: "\n".join(bodies),
}


@settings(deadline=None)
@given(
    tool_calls,
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(["arguments", "parameters"]),
    st.booleans(),
)
def test_written_calls_are_read_back(
    wanted: list[tuple[str, dict[str, Any]]], layout: str, key: str, ascii_only: bool
) -> None:
    text = LAYOUTS[layout](
        [
            json.dumps({"name": name, key: given_arguments}, ensure_ascii=ascii_only)
            for name, given_arguments in wanted
        ]
    )
    parsed = parse_completion(text)
    assert [(call.name, call.arguments) for call in parsed.calls] == wanted
    assert parsed.content == ""


@settings(deadline=None)
@given(tool_calls, st.sampled_from(sorted(LAYOUTS)))
def test_python_calls_are_read_back(wanted: list[tuple[str, dict[str, Any]]], layout: str) -> None:
    bodies = [
        f"{name}({', '.join(f'{key}={value!r}' for key, value in given_arguments.items())})"
        for name, given_arguments in wanted
    ]
    parsed = parse_completion(LAYOUTS[layout](bodies), {name for name, _ in wanted})
    assert [(call.name, call.arguments) for call in parsed.calls] == wanted


class _Counting:
    """A token pattern that counts the characters it reads, and a failure as one."""

    def __init__(self, pattern: Any, work: list[int]) -> None:
        self._pattern, self._work = pattern, work

    def match(self, text: str, pos: int) -> Any:
        found = self._pattern.match(text, pos)
        self._work[0] += found.end() - pos if found else 1
        return found


UNITS = [
    *("{", "[", "[{", '{"', '{"a":', '{"a{', '{"a":"', '{"\\"', "{ ", '{"name":', '[{"a":1},'),
    *(
        '{"name":"a","parameters":{',
        '{"name":"a","parameters":{}}',
        '{"name":"a","parameters":{}};',
    ),
    *(
        "a(x=",
        "\na(x=",
        '\na(x="',
        "\na(x='''",
        "[a(x=1),",
        "a(x=1);",
        ": a(",
        "\na.",
        "<tool_call>",
        "<|python_tag|>",
        "</tool_call>",
        "<think>",
    ),
    *(
        "```",
        "`",
        "```json\n",
        " ",
        "\n",
        "\\",
        '"',
        "<|eot_id|>",
        '{"name":"a","parameters":{}}\n```json\n',
    ),
]


@pytest.mark.parametrize(
    "start", ["", "<|python_tag|>", "<tool_call>", "[", "a(x=", '{"name":', '{"a":"']
)
def test_the_work_is_bounded_by_the_length_of_the_text(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = [0]
    for name in ("JSON", "PYTHON"):
        dialect = getattr(literals, name)
        monkeypatch.setattr(calls, name, dialect._replace(token=_Counting(dialect.token, work)))
    for unit in UNITS:
        text = start + unit * (3000 // len(unit))
        work[0] = 0
        parse_completion(text)
        # Every character twice as part of a token, and once where no token begins.
        assert work[0] <= 3 * len(text), unit


@pytest.mark.parametrize("unit", UNITS)
def test_long_and_deep_texts_end(unit: str) -> None:
    # Ten times the interpreter's recursion limit; a reader with quadratic work would run into the
    # suite's time limit.
    depth = 10 * sys.getrecursionlimit()
    assert parse_completion(unit * depth).kind in ("calls", "no_call", "malformed")
    assert parse_completion('{"name": "a", "parameters": ' + unit * depth).kind == "malformed"
