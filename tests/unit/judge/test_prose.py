"""What may stand beside a call, through the door of the judge, and how much work it takes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbdata.call_formats import json_calls, python_calls, typed_values
from cbdata.call_formats.completion import Completion
from cbdata.call_formats.literals import Literal, read_literal
from cbdata.call_formats.registry import ANY, FORMATS
from cbdata.judge.judgement import judge
from cbdata.judge.prose import MAX_PROSE, call_syntax, doubt
from cbdata.judge.reading import ReadingRules, read_completion
from cbdata.tools import ToolSchema, load_tool_schema

CALL = '<tool_call>\n{"name": "lookup", "arguments": {"query": "tides"}}\n</tool_call>'
WORDS = ("search", "lookup", "mail", "run", "open", "save", "pay", "whois")


@pytest.fixture(scope="module")
def word_tools(tmp_path_factory: pytest.TempPathFactory, b4_tools: ToolSchema) -> ToolSchema:
    """The same tools, named with ordinary words."""
    text = Path(b4_tools.path).read_text(encoding="utf-8")
    for old, new in zip(b4_tools.names, WORDS, strict=True):
        text = text.replace(f'"{old}"', f'"{new}"')
    file = tmp_path_factory.mktemp("tools") / "words.json"
    file.write_text(text, encoding="utf-8")
    return load_tool_schema(file)


@pytest.mark.parametrize(
    ("prose", "accepted"),
    [
        ("Let me look up the tides.", True),
        ("I will search for it now.", True),
        ("I'll open with the run of tides, and save time.", True),
        ("Who is in charge of the tides? I will check.", True),
        ("/search tides", False),
        ("search --query tides", False),
        ("search tides", False),
        ("I use the tool search.", False),
        ("s-e-a-r-c-h tides", False),
        ("- search: tides", False),
        ("| search | tides |", False),
        ("<search>tides</search>", False),
        ("SEARCH tides", False),
        ("「search」を呼びます。", False),
    ],
)
def test_tools_named_with_ordinary_words(
    prose: str, accepted: bool, word_tools: ToolSchema
) -> None:
    found = judge(
        f"{prose}\n{CALL}",
        finish_reason="stop",
        mode="dr",
        expected_tool="lookup",
        simulated_tool="search",
        tool_schema=word_tools,
        rules=ReadingRules("hermes_json"),
    )
    assert found.accepted is accepted, found.detail


def test_prose_without_end_is_not_read(b4_tools: ToolSchema) -> None:
    assert doubt("let me " * (MAX_PROSE // 7), b4_tools.names, ()) is None
    found = doubt("let me " * MAX_PROSE, b4_tools.names, ())
    assert found is not None and "characters of prose" in found.reason


PIECES = [
    *("search_web", "search", " ", "\n", "\t", ".", ":", "`", "'", '"', "/", "-", "--q", "[", "]"),
    *("(", ")", "<", ">", "=", "&#1;", "\\", "\u200b", "\ud800", "\x00", "é", "不", "не ", "not "),
    *("I ", "the page ", "asks ", "https://a?b=", "a_b", "Search", "s e a r c h", "\U000e0041"),
]


@settings(deadline=None, max_examples=300)
@given(text=st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join))
def test_no_prose_raises_and_every_place_is_inside_it(text: str, b4_tools: ToolSchema) -> None:
    for found in (
        call_syntax(text, text, b4_tools.names),
        doubt(text.strip(), b4_tools.names, {"search_web"}),
        doubt(text.strip(), WORDS, {"lookup"}),
    ):
        assert found is None or (0 <= found.at <= len(text) and found.reason)


def test_random_bytes_and_long_lines_end_in_a_verdict(b4_tools: ToolSchema) -> None:
    draw = random.Random(13)
    texts = [draw.randbytes(2_000).decode("utf-8", errors="surrogateescape") for _ in range(20)]
    texts += [draw.randbytes(2_000).decode("utf-16", errors="replace") for _ in range(20)]
    texts += [unit * 300_000 for unit in ("a ", "{", "`a", "n't", "\u200b", "\\")]
    for text in texts:
        for whole in (text, f"{text}\n{CALL}"):
            found = read_completion(Completion.spelled(whole), b4_tools, ReadingRules(ANY))
            assert found.kind != "calls"


HOSTILE = [
    *("{", "[", '{"a":', "a(x=", "<", "</think>", "<think>", "search_web ", "s e a r c h _ ", "`a"),
    *("a.", "I ", "\n", " ", "-a ", "a,", "a_", "https://a"),
]


@pytest.mark.parametrize("name", sorted({"hermes_json", "llama_json", "pythonic"} & set(FORMATS)))
def test_twice_the_text_is_twice_the_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is counted in characters of literals that are read: what is tried at every bracket
    of a text would be read again and again.
    """
    for unit in HOSTILE:
        lengths = []
        for size in (20_000, 40_000):
            read = _Counting()
            for module in (json_calls, python_calls, typed_values):
                monkeypatch.setattr(module, "read_literal", read)
            text = unit * (size // len(unit))
            read_completion(Completion.spelled(text), None, ReadingRules(name))
            lengths.append(read.characters)
        assert lengths[1] <= 2 * lengths[0] + 100, unit


class _Counting:
    """``read_literal`` that counts the characters it looks at."""

    def __init__(self) -> None:
        self.characters = 0

    def __call__(self, text: str, start: int, dialect: object) -> object:
        found = read_literal(text, start, dialect)  # type: ignore[arg-type]
        self.characters += (found.end if isinstance(found, Literal) else found.at) - start
        return found


def test_any_reads_only_formats_whose_markers_are_there(
    b4_tools: ToolSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for each in FORMATS.values():
        real = each.blocks

        def counted(*args: object, name: str = each.name, real: object = real) -> object:
            asked.append(name)
            return real(*args)  # type: ignore[operator]

        monkeypatch.setattr(each, "blocks", counted)
    bare = {each.name for each in FORMATS.values() if not each.always_marked}
    for text in ("{" * 1000, "a " * 1000, "<think>a</think>" * 100, "No."):
        asked.clear()
        read_completion(Completion.spelled(text), b4_tools, ReadingRules(ANY))
        assert set(asked) == bare and len(asked) == len(bare), text[:20]
