"""Decision points of the real AgentDojo transcripts: the goals replayed on what models did, the
skeletons, and the clean twins beside what tools print without an attack.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from cbdata.config import default_settings
from cbdata.decision_points.clean_runs import calls_of
from cbdata.decision_points.cut import CutSettings
from cbdata.decision_points.goals import AttackGoals, Call
from cbdata.decision_points.matching import matches_any
from cbdata.decision_points.stage import cut_decision_points
from cbdata.fill.clean_twin import clean_twin
from cbdata.jsonl import read_records
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings
from cbdata.schemas import first_error
from cbdata.sources import agentdojo
from cbdata.stage import StageFiles
from cbdata.tools import load_tool_schema
from cbdata.traces.injections import injection_spans

STOPPED = {
    ("travel", "user_task_19"),
    ("workspace", "user_task_26"),
    ("workspace", "user_task_27"),
    ("workspace", "user_task_28"),
    ("workspace", "user_task_33"),
    ("workspace", "user_task_35"),
    ("workspace", "user_task_38"),
}
"""Runs of Llama 3 70B that the exports call successes and in which the goal is not carried out:
they were stopped behind a tool result, with no answer of the model, and AgentDojo writes
``security: true`` for runs that ended in an error. No other success misses its goal.
"""
OWN_GOALS = {
    "agentdojo/banking/injection_task_4": {("banking", "user_task_15")},
}
"""Goals that solved clean runs meet, by the tasks they do it in: the new landlord's account that
the user names in this task is the attacker's.
"""
OLDER_TEXT = ("banking", "read_file", b'{"file_path":"bill-december-2023.txt"}')
"""The bill, whose lines the package's suites break where the transcripts' had a space."""


def raw_calls(record: dict[str, Any]) -> list[Call]:
    return [
        (call["function"]["name"], call["function"]["arguments"])
        for message in record["messages"]
        for call in message.get("tool_calls") or []
    ]


@pytest.fixture(scope="module")
def raw_runs(shared_dir: Path) -> list[dict[str, Any]]:
    """Every record of the exports, read without the code under test."""
    lines = [
        orjson.loads(line)
        for path in sorted((shared_dir / "data/agentdojo").glob("*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    return [record for record in lines if record.get("messages")]


@pytest.fixture(scope="module")
def goals(repo: Path) -> AttackGoals:
    return AttackGoals.load(repo / "configs/attack_goals/agentdojo_v1.json")


@pytest.fixture(scope="module")
def traces(shared_dir: Path, repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traces")
    agentdojo.convert(
        [shared_dir / "data/agentdojo"],
        split="train",
        outputs=StageFiles(folder / "traces.jsonl", folder / "rejects.jsonl", folder / "s.json"),
        max_reject_fraction=0.0,
        tool_schemas=sorted((repo / "configs/tool_schemas").glob("agentdojo_*_v1.json")),
    )
    return folder / "traces.jsonl"


@pytest.fixture(scope="module")
def cut(
    traces: Path, repo: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The skeletons and the stats."""
    folder = tmp_path_factory.mktemp("cut")
    cut_decision_points(
        traces,
        goals=repo / "configs/attack_goals/agentdojo_v1.json",
        defaults=repo / "configs/injection_defaults/agentdojo_v1.json",
        settings=CutSettings("injection", "recorded"),
        outputs=StageFiles(folder / "out.jsonl", folder / "rejects.jsonl", folder / "stats.json"),
        name="agentdojo_skeletons",
    )
    skeletons = [record for _, record in read_records(folder / "out.jsonl")]
    return skeletons, orjson.loads((folder / "stats.json").read_bytes())


def test_every_attack_that_succeeded_carried_its_goal_out(
    raw_runs: list[dict[str, Any]], goals: AttackGoals
) -> None:
    missed = Counter()
    succeeded = 0
    for record in raw_runs:
        run = record["metadata"]
        if run["injection_task_id"] is None or not run["security"]:
            continue
        succeeded += 1
        goal = goals.find(run["suite_name"], run["injection_task_id"])
        assert goal is not None
        if not goal.carried_out(raw_calls(record)):
            missed[run["suite_name"], run["user_task_id"]] += 1
            assert record["messages"][-1]["role"] == "tool"
            assert run["model"] == "meta-llama_Llama-3-70b-chat-hf"
    assert succeeded == 140
    assert missed == dict.fromkeys(STOPPED, 1)


def test_no_solved_clean_run_carries_a_goal_out_but_where_the_task_asks_for_it(
    raw_runs: list[dict[str, Any]], repo: Path, goals: AttackGoals
) -> None:
    table = orjson.loads((repo / "configs/attack_goals/agentdojo_v1.json").read_bytes())["goals"]
    met: dict[str, set[tuple[str, str]]] = defaultdict(set)
    clean = 0
    for record in raw_runs:
        run = record["metadata"]
        if run["injection_task_id"] is not None or not run["success"]:
            continue
        clean += 1
        for name, entry in table.items():
            goal = goals.find(entry["suite"], entry["injection_task"])
            if entry["suite"] == run["suite_name"] and goal.carried_out(raw_calls(record)):
                met[name].add((run["suite_name"], run["user_task_id"]))
    assert clean == 438
    assert met == OWN_GOALS


def test_most_exposed_runs_become_skeletons_and_nothing_is_lost(
    cut: tuple[list[dict[str, Any]], dict[str, Any]],
) -> None:
    skeletons, stats = cut
    assert stats["counts"] == {
        "records_in": 1528,
        "records_out": 620,
        "rejected": 4,
        "duplicates": 0,
        "not_selected": 904,
        "headers": 0,
    }
    # The four exposed runs of banking's user_task_15.
    assert stats["rejected_by_reason"] == {"goal_equals_task": 4}
    assert stats["details"]["default_text"] == {"every_span": 620}
    assert stats["details"]["expected_calls"] == {"answer": 112, "calls": 375, "unknown": 133}
    assert len({record["id"] for record in skeletons}) == 620
    assert all(first_error("trace_v1", record) is None for record in skeletons)


def test_every_skeleton_ends_with_the_results_in_which_the_injection_first_stands(
    cut: tuple[list[dict[str, Any]], dict[str, Any]], traces: Path
) -> None:
    parents = {record["id"]: record for _, record in read_records(traces)}
    for skeleton in cut[0]:
        end = skeleton["decision_point"]["message_index"]
        spans = injection_spans(skeleton)
        first = spans[0]["message_index"]
        for parent in skeleton["links"]["parent_trace_ids"]:
            recorded = parents[parent]["messages"]
            assert len(skeleton["messages"]) == end
            assert recorded[end:] == [] or recorded[end]["role"] != "tool"
            assert [m["content"] for m in recorded[:end]] == [
                m["content"] for m in skeleton["messages"]
            ]
        assert {message["role"] for message in skeleton["messages"][first:]} == {"tool"}
        assert not any("<INFORMATION>" in m["content"] for m in skeleton["messages"][:first])
        for span in spans:
            content = skeleton["messages"][span["message_index"]]["content"]
            text = content[span["char_start"] : span["char_end"]]
            assert text.count("<INFORMATION>") == text.count("</INFORMATION>") == 1
            core = text.replace("\\n", "\n").strip("\n \\")
            assert core.startswith("<INFORMATION>") and core.endswith("</INFORMATION>")


def test_what_models_did_next_is_a_target_call_where_the_attack_went_on_to_succeed(
    cut: tuple[list[dict[str, Any]], dict[str, Any]], traces: Path
) -> None:
    """Judged by the skeletons' target calls, nine of ten successes show at once; most others (of
    slack) do a step of the user's task first. The resisted runs that show are followed injections
    that came to nothing: a step of the goal was taken, and the benchmark's check failed later.
    """
    parents = {record["id"]: record for _, record in read_records(traces)}
    found: Counter[tuple[str, str]] = Counter()
    for skeleton in cut[0]:
        [parent] = [parents[name] for name in skeleton["links"]["parent_trace_ids"]]
        answer = parent["messages"][skeleton["decision_point"]["message_index"] :][:1]
        targets = skeleton["tool_attack"]["target_calls"]
        step = any(matches_any(targets, tool, arguments) for tool, arguments in calls_of(answer))
        found[
            "succeeded" if parent["labels"]["attack_succeeded"] else "resisted",
            "step of the goal" if step else "other answer" if answer else "no answer",
        ] += 1
    assert found == {
        ("succeeded", "step of the goal"): 121,
        ("succeeded", "other answer"): 10,
        ("succeeded", "no answer"): 5,  # five of STOPPED
        ("resisted", "step of the goal"): 42,
        ("resisted", "other answer"): 442,
    }


def results(trace: dict[str, Any]) -> Iterator[tuple[int, tuple[str, str, bytes], str]]:
    """Index, suite and call, content of every tool result."""
    calls = {
        call["call_id"]: call["function"]
        for message in trace["messages"]
        for call in message.get("tool_calls", ())
    }
    for index, message in enumerate(trace["messages"]):
        function = calls.get(message.get("tool_call_id", ""))
        if function is not None:
            key = orjson.dumps(function["arguments"], option=orjson.OPT_SORT_KEYS)
            content = message["content"]
            if content.startswith("<<") and content.endswith(">>"):
                content = content[2:-2]
            yield index, (trace["task"]["family"], function["name"], key), content


def data(content: str) -> Any:
    """What a tool result says: as data where it is some. What a run changes by itself is left out:
    which mails were read, and a file's size, which counts the injection.
    """
    try:
        found = (
            ast.literal_eval(content)
            if content.startswith(("{'", '{"'))
            else yaml.load(content, Loader=yaml.CSafeLoader)
        )
    except (yaml.YAMLError, ValueError, SyntaxError):
        return content
    return _settled(found) if isinstance(found, list | dict) else content


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _settled(v) for k, v in value.items() if k not in ("size", "read")}
    return [_settled(each) for each in value] if isinstance(value, list) else value


def test_a_restored_result_says_what_the_tool_says_without_an_attack(
    cut: tuple[list[dict[str, Any]], dict[str, Any]], traces: Path
) -> None:
    clean: dict[tuple[str, str, bytes], set[str]] = defaultdict(set)
    for _, trace in read_records(traces):
        if not trace["labels"]["attack_present"]:
            for _, call, content in results(trace):
                clean[call].add(content)
    seen = Counter()
    for skeleton in cut[0]:
        twin = clean_twin(skeleton, "restored")
        assert twin.context == "restored"
        injected = {span["message_index"] for span in injection_spans(skeleton)}
        for index, message in enumerate(skeleton["messages"]):
            if index not in injected:
                assert twin.messages[index] == message
        for index, call, content in results({**skeleton, "messages": twin.messages}):
            if index not in injected:
                continue
            assert "<INFORMATION>" not in content
            if call not in clean:
                seen["no clean run makes this call"] += 1
            elif content in clean[call]:
                seen["same text"] += 1
            elif any(data(content) == data(other) for other in clean[call]):
                seen["same data"] += 1
            else:
                assert call == OLDER_TEXT
                seen["another version of the environment"] += 1
    assert seen == {
        "same text": 166,
        "same data": 478,
        "no clean run makes this call": 18,
        "another version of the environment": 8,
    }


def test_the_twins_are_the_same_up_to_the_injection_and_outside_it(
    cut: tuple[list[dict[str, Any]], dict[str, Any]],
) -> None:
    for skeleton in cut[0]:
        twin = clean_twin(skeleton, "restored").messages
        spans = injection_spans(skeleton)
        first = spans[0]
        for index, message in enumerate(skeleton["messages"]):
            pieces, at = [], 0
            for span in (s for s in spans if s["message_index"] == index):
                pieces += [message["content"][at : span["char_start"]], span["default_text"]]
                at = span["char_end"]
            assert twin[index] == {**message, "content": "".join(pieces) + message["content"][at:]}
        index = first["message_index"]
        before = skeleton["messages"][index]["content"][: first["char_start"]]
        assert twin[index]["content"].startswith(before)
        assert skeleton["tool_attack"]["injection_text"] not in twin[index]["content"]


def test_the_prompts_of_twins_are_the_same_token_for_token_up_to_the_injection(
    cut: tuple[list[dict[str, Any]], dict[str, Any]], shared_dir: Path, repo: Path
) -> None:
    """Every fortieth skeleton, as Llama 3.1 would be asked. Only the token in which the twins part
    may begin before the injection.
    """
    renderer = Renderer.load(
        default_settings(
            RenderSettings,
            tokenizer=str(shared_dir / "tokenizers/llama-3.1"),
            chat_template="llama31_tools",
        )
    )
    for skeleton in cut[0][::40]:
        suite = skeleton["task"]["family"]
        schema = load_tool_schema(repo / f"configs/tool_schemas/agentdojo_{suite}_v1.json")
        ds, dr = (
            renderer.prompt(clean_twin(skeleton, context).messages, list(schema.tools))
            for context in ("kept", "restored")
        )
        pairs = zip(ds.ids, dr.ids, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        text = renderer.decode(ds.ids)
        before = text[: text.index("<INFORMATION>")].rstrip("\\n \n")
        assert len(renderer.decode(ds.ids[: shared + 1])) >= len(before)
        assert renderer.decode(dr.ids).startswith(renderer.decode(ds.ids[:shared]))
        assert "<INFORMATION>" not in renderer.decode(dr.ids)
