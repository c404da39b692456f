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
        "empty_answer": 3,
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


UTILITY = {
    "claude-3-5-sonnet-20241022": 79.38,
    "claude-3-haiku-20240307": 39.18,
    "command-r": 26.80,
    "gemini-1.5-pro-002": 61.86,
    "gpt-4-0125-preview": 65.98,
    "gpt-4o-2024-05-13-spotlighting_with_delimiting": 72.16,
    "gpt-4o-2024-05-13-tool_filter": 72.16,
    "meta-llama_Llama-3-70b-chat-hf": 34.02,
}
"""Utility without attack in percent, from AgentDojo's own table of results."""

ATTACK_SUCCESS = {
    "claude-3-5-sonnet-20241022": 1.11,
    "gpt-4-0125-preview": 56.28,
    "gpt-4o-2024-05-13-spotlighting_with_delimiting": 41.65,
}
"""Targeted attack success in percent, from the same table. It is over 629 cases, of which an export
holds 97, so that an export's own figure is another one; the order of figures that lie 30 points
apart is not.
"""


def pipeline_of(trace: dict[str, Any]) -> str:
    source = trace["source"]
    return "-".join(filter(None, (source["model_id"], source["defense"])))


def test_utility_is_the_published_one_to_the_digit(dojo: Converted, shared_dir: Path) -> None:
    """And that of the exports' own headers, which no conversion touches."""
    solved: dict[str, list[bool]] = {}
    for trace in dojo.traces:
        if not trace["labels"]["attack_present"]:
            fields = trace["raw_metadata"]["source_fields"]
            solved.setdefault(pipeline_of(trace), []).append(fields["success"])
    assert {len(runs) for runs in solved.values()} == {97}
    shares = {pipeline: sum(runs) / 97 for pipeline, runs in solved.items()}
    assert {pipeline: round(100 * share, 2) for pipeline, share in shares.items()} == UTILITY
    headers = {}
    for path in (shared_dir / "data" / "agentdojo").glob("*.jsonl"):
        header = orjson.loads(path.read_bytes().partition(b"\n")[0])["metadata"]
        headers[header["name"]] = header["accuracy"]
    assert shares == headers


def attack_success(done: Converted) -> dict[str, float]:
    """Attack success in percent by pipeline, over the 97 attacked runs of each."""
    counts: Counter[str] = Counter()
    for trace in done.traces:
        counts[pipeline_of(trace)] += trace["labels"]["attack_succeeded"]
    return {pipeline: 100 * counts[pipeline] / 97 for pipeline in UTILITY}


def order_kept(success: dict[str, float]) -> list[bool]:
    """For each two pipelines whose published figures lie 30 points apart, whether ours go the same
    way.
    """
    return [
        success[more] > success[less]
        for more, published in ATTACK_SUCCESS.items()
        for less, lower in ATTACK_SUCCESS.items()
        if published > lower + 30
    ]


def test_attack_success_keeps_the_published_order(dojo: Converted) -> None:
    assert order_kept(attack_success(dojo)) == [True, True]
    success = attack_success(dojo)
    assert min(success, key=lambda pipeline: success[pipeline]) == "claude-3-5-sonnet-20241022"


def test_an_inverted_label_would_turn_the_order_over(shared_dir: Path, tmp_path: Path) -> None:
    """The error of the scripts that this replaces, made on purpose: the pipeline that hardly any
    attack gets through would lead with 97 %.
    """
    raw = tmp_path / "raw"
    raw.mkdir()
    for path in (shared_dir / "data" / "agentdojo").glob("*.jsonl"):
        records = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        for record in records:
            if record["metadata"].get("injection_task_id") is not None:
                record["metadata"]["security"] = not record["metadata"]["security"]
        (raw / path.name).write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in records))
    agentdojo.convert(
        [raw], tool_schemas=[], split="train", outputs=outputs(tmp_path), max_reject_fraction=1.0
    )
    done = read_back(tmp_path)
    success = attack_success(done)
    assert order_kept(success) == [False, False]
    assert max(success, key=lambda pipeline: success[pipeline]) == "claude-3-5-sonnet-20241022"
