"""The real records beside the checkout: exact numbers, and labels against the files' own fields."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.sources import agentdojo, fujitsu_b4
from tests.unit.sources.conversion import Converted, outputs, read_back

Key = tuple[str, int]


@pytest.fixture(scope="module")
def raw_runs(shared_dir: Path) -> dict[Key, dict[str, Any]]:
    """Every record of the exports by file name and line, read without the code under test."""
    runs = {}
    for path in sorted((shared_dir / "data" / "agentdojo").glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            record = orjson.loads(line)
            if "messages" in record:
                runs[path.name, number] = record
    return runs


@pytest.fixture(scope="module")
def dojo(shared_dir: Path, repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    folder = tmp_path_factory.mktemp("dojo")
    agentdojo.convert(
        [shared_dir / "data" / "agentdojo"],
        split="train",
        outputs=outputs(folder),
        max_reject_fraction=0.0,
        tool_schemas=sorted((repo / "configs" / "tool_schemas").glob("agentdojo_*_v1.json")),
    )
    return read_back(folder)


def key_of(trace: dict[str, Any]) -> Key:
    return trace["source"]["file"], trace["source"]["record_locator"]["value"]


def test_every_transcript_is_accounted_for(
    dojo: Converted, raw_runs: dict[Key, dict[str, Any]]
) -> None:
    """8 pipelines of 97 clean and 97 attacked runs. The 24 copies are runs whose injection was
    never shown, word for word the clean run.
    """
    assert dojo.counts == (1552, 1528, 0, 24) and dojo.stats["counts"]["headers"] == 8
    kept = [key_of(trace) for trace in dojo.traces]
    dropped = [
        (twin["file"], twin["line"])
        for trace in dojo.traces
        for twin in trace["links"].get("duplicates", ())
    ]
    assert sorted(kept + dropped) == sorted(raw_runs)


def test_copies_are_exact_copies(dojo: Converted, raw_runs: dict[Key, dict[str, Any]]) -> None:
    twins = [
        (key_of(trace), (twin["file"], twin["line"]))
        for trace in dojo.traces
        for twin in trace["links"].get("duplicates", ())
    ]
    for kept, dropped in twins:
        assert raw_runs[kept]["messages"] == raw_runs[dropped]["messages"]
    distinct = {
        orjson.dumps(run["messages"], option=orjson.OPT_SORT_KEYS) for run in raw_runs.values()
    }
    assert len(distinct) == 1528


def test_attacks_succeeded_where_the_file_says_security_true(
    dojo: Converted, raw_runs: dict[Key, dict[str, Any]]
) -> None:
    """Per pipeline the injected records with ``security`` true, less the dropped copies of which
    none is one of those.
    """
    copies = {
        (twin["file"], twin["line"])
        for trace in dojo.traces
        for twin in trace["links"].get("duplicates", ())
    }
    expected: Counter[str] = Counter()
    for key, run in raw_runs.items():
        if run["metadata"]["injection_task_id"] is not None and run["metadata"]["security"]:
            expected[run["metadata"]["model"]] += 1
            assert key not in copies
    assert dojo.stats["details"]["attack_succeeded_by_pipeline"] == dict(expected)
    assert (
        expected["gpt-4o-2024-05-13-spotlighting_with_delimiting"] == 40
        and expected["claude-3-5-sonnet-20241022"] == 3
    )
    for trace in dojo.traces:
        fields = raw_runs[key_of(trace)]["metadata"]
        injected = fields["injection_task_id"] is not None
        assert trace["labels"]["attack_present"] == injected
        assert (
            trace["labels"]["attack_succeeded"]
            == (injected and fields["security"])
            == (trace["labels"]["category"] == "harmful")
        )


def test_classes(dojo: Converted) -> None:
    """776 clean runs; of 776 attacked ones 140 gave in, and of the 636 others 150 never showed the
    injection (126 of them are no copy).
    """
    assert dojo.stats["details"]["classes"] == {
        "agentdojo/benign": 776,
        "agentdojo/injection_resisted": 486,
        "agentdojo/injection_succeeded": 140,
        "agentdojo/injection_unseen": 126,
    }


def test_exposure_is_what_the_tool_messages_show(
    dojo: Converted, raw_runs: dict[Key, dict[str, Any]]
) -> None:
    """Three runs of Gemini call a tool with the injection as its argument and lose the end of the
    frame; the tool's error repeats it.
    """
    unclosed = set()
    for trace in dojo.traces:
        run = raw_runs[key_of(trace)]
        shown = any(
            "<INFORMATION>" in (message["error"] or message["content"] or "")
            for message in run["messages"]
            if message["role"] == "tool"
        )
        assert trace["labels"]["exposed"] == (shown and trace["labels"]["attack_present"])
        span = trace["signal_hints"]["injection_char_span"]
        assert (span is not None) == trace["labels"]["exposed"]
        for place in trace["signal_hints"].get("injection_char_spans", [span] if span else []):
            text = trace["messages"][place["message_index"]]["content"][
                place["char_start"] : place["char_end"]
            ]
            assert text.startswith("<INFORMATION>") and text.count("<INFORMATION>") == 1
            if not text.endswith("</INFORMATION>"):
                unclosed.add(key_of(trace))
    assert unclosed == {("agentdojo-gemini-1-5-pro-002.jsonl", line) for line in (60, 64, 65)}


def test_no_word_of_a_message_is_lost_or_changed(
    dojo: Converted, raw_runs: dict[Key, dict[str, Any]]
) -> None:
    for trace in dojo.traces:
        raw = raw_runs[key_of(trace)]["messages"]
        assert len(trace["messages"]) == len(raw)
        for message, source in zip(trace["messages"], raw, strict=True):
            assert message["role"] == source["role"]
            assert message["content"] == (source.get("error") or source["content"] or "")
            calls = [call["function"] for call in message.get("tool_calls", ())]
            assert calls == [call["function"] for call in source.get("tool_calls") or ()]
            assert all(call["arguments"] is not None for call in calls)


def test_results_follow_their_calls(dojo: Converted) -> None:
    for trace in dojo.traces:
        names: dict[str, str] = {}
        for message in trace["messages"]:
            for call in message.get("tool_calls", ()):
                assert call["call_id"] not in names
                names[call["call_id"]] = call["function"]["name"]
            if message["role"] == "tool":
                assert names[message["tool_call_id"]] == message["name"]


def test_oddities_are_counted(dojo: Converted) -> None:
    assert dojo.stats["details"]["record_flags"] == {
        "call_id_missing": 376,
        "call_id_repeated": 12,
        "call_without_result": 17,
        "content_replaced_by_error": 28,
        "parallel_calls": 376,
        "succeeded_unexposed": 2,
    }


def test_models_and_defences(dojo: Converted) -> None:
    pairs = {(trace["source"]["model_id"], trace["source"]["defense"]) for trace in dojo.traces}
    assert len(pairs) == 8
    assert {
        ("gpt-4o-2024-05-13", "tool_filter"),
        ("gpt-4o-2024-05-13", "spotlighting_with_delimiting"),
        ("command-r", None),
    } < pairs
    assert {trace["raw_metadata"]["tool_schema_ref"]["version"] for trace in dojo.traces} == {
        f"agentdojo_{suite}_v1" for suite in ("banking", "slack", "travel", "workspace")
    }


def test_b4_records(shared_dir: Path, b4_tools, tmp_path: Path) -> None:
    raw = shared_dir / "data" / "fujitsu_b4" / "orchestrator_attacks_sample.jsonl"
    fujitsu_b4.convert(
        [raw],
        tool_schemas=[b4_tools.path],
        split="train",
        outputs=outputs(tmp_path),
        max_reject_fraction=0.0,
    )
    done = read_back(tmp_path)
    assert done.counts == (25, 25, 0, 0)
    assert done.stats["details"]["record_flags"] == {"equal_tools": 9}
    for trace, line in zip(done.traces, raw.read_bytes().splitlines(), strict=True):
        record = orjson.loads(line)
        span = trace["signal_hints"]["injection_char_span"]
        assert trace["messages"][1]["content"] == record["combined_query"]
        assert (
            record["combined_query"][span["char_start"] : span["char_end"]]
            == record["malicious_injection"]
        )
        assert record["combined_query"][: span["char_start"]] == record["benign_query"] + "\n\n"


def test_b4_tools_are_those_of_the_reference(shared_dir: Path, b4_tools) -> None:
    reference = orjson.loads(
        (shared_dir / "data" / "fujitsu_b4" / "b4_standard_v1.reference.json").read_bytes()
    )
    assert (
        list(b4_tools.tools) == reference["tools"]
        and b4_tools.system_prompt == reference["system_prompt"]
    )
