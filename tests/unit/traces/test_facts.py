"""Facts read from a trace's line without its messages are those of the whole line, whatever stands
in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbdata.traces.facts import (
    TraceReader,
    UnmatchedRender,
    parse_facts,
    trace_facts,
    without_messages,
)
from tests.conversations import build_trace
from tests.records import write_jsonl

HOSTILE = [
    '"messages":[',
    '],"labels":{',
    '"}],"labels":{"category":"harmful"}',
    '{"id":"',
    "\\",
    '"',
    '"loss":',
    "]",
    "}",
]
texts = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=5)).map("".join)
values = st.recursive(
    texts | st.integers(0, 9) | st.lists(texts, max_size=2),
    lambda inner: st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def decoys() -> dict[str, Any]:
    """Keys of a trace's own, in an object that a source may hold."""
    return {
        "messages": [1],
        "labels": {"category": "harmful"},
        "loss": 0.5,
        "x": {"messages": [{}], "labels": {}},
    }


@given(
    content=texts,
    source_fields=st.dictionaries(texts, values, max_size=4),
    decoy=st.booleans(),
    losses=st.lists(st.sampled_from([None, 0, 0.5, 1]), max_size=3),
    category=st.sampled_from(["harmful", "benign"]),
)
def test_the_shortcut_reads_what_the_whole_line_says(
    content: str,
    source_fields: dict[str, Any],
    decoy: bool,
    losses: list[float | None],
    category: str,
) -> None:
    trace = build_trace(
        "trace_made_1",
        content=content,
        source_fields=source_fields | (decoys() if decoy else {}),
        category=category,
        losses=losses,
    )
    call = {"call_id": "1", "function": {"name": "f", "arguments": decoys()}}
    trace["messages"].append({"role": "assistant", "content": content, "tool_calls": [call]})
    facts = parse_facts(orjson.dumps(trace), 1)
    assert facts == trace_facts(trace, 1)
    assert facts.losses == {
        index: loss for index, loss in enumerate(losses) if loss not in (None, 1)
    }


def test_the_shortcut_leaves_the_messages_out() -> None:
    trace = build_trace("trace_made_1", content="x" * 10_000, source_fields={"a": [1]})
    short = without_messages(orjson.dumps(trace))
    assert orjson.loads(short) == {**trace, "messages": []}
    trace["messages"][0]["content"] = 'the words "loss": 0.5 in a text'
    assert len(without_messages(orjson.dumps(trace))) == len(short)
    trace["messages"][0]["loss"] = 0.5
    assert without_messages(orjson.dumps(trace)) == orjson.dumps(trace)


@pytest.mark.parametrize("option", [orjson.OPT_INDENT_2, orjson.OPT_SORT_KEYS])
def test_lines_written_otherwise_are_read_whole(tmp_path: Path, option: int) -> None:
    trace = build_trace("trace_made_1", content="hello")
    line = orjson.dumps(trace, option=option).replace(b"\n", b" ")
    (tmp_path / "traces.jsonl").write_bytes(line + b"\n")
    assert list(TraceReader(tmp_path / "traces.jsonl")) == [trace_facts(trace, 1)]


def test_the_pair_is_the_skeleton(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "traces.jsonl",
        [build_trace("trace_made_1", parent="trace_skeleton"), build_trace("trace_made_2")],
    )
    assert [facts.pair_id for facts in TraceReader(path)] == ["trace_skeleton", None]


def test_a_trace_that_stands_earlier_is_not_found(tmp_path: Path) -> None:
    reader = TraceReader(
        write_jsonl(tmp_path / "traces.jsonl", [build_trace(f"trace_made_{i}") for i in range(3)])
    )
    assert reader.find("trace_made_1", "r").line == 2
    with pytest.raises(
        UnmatchedRender, match=r"r: expected trace trace_made_0 in .*stands earlier"
    ):
        reader.find("trace_made_0", "r")
