"""Decision points end to end with the demo model on the CPU: the demo's own transcripts, and the
guide of docs/decision_points.md done on real ones.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
import yaml
from tokenizers import Tokenizer

from cbdata.jsonl import read_records
from tests.unit.export.seed_schemas import LOSSMASK, RENDER, TRACE, faults
from tests.workflow.command import Snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.vllm]

EXPORTS = ("export_seed_v1", "export_triplets", "export_next_tool_prediction")
SUITE = "slack"
# What the guide's settings become on two CPU cores: a small model, whose calls have to be of the
# right form, and a few skeletons of one suite, whose attack (visit a page) it can follow.
SMALL = {
    "constrain_tool_calls": True,
    "tool_schema": f"configs/tool_schemas/agentdojo_{SUITE}_v1.json",
    "attempts": 4,
    "temperature_ds": 1.0,
    "max_tokens": 128,
    "max_model_len": 4096,
    "limit": 5,
    "dtype": "float32",
    "enforce_eager": True,
    "engine_device": "cpu",
}


def rows(path: Path) -> list[dict[str, Any]]:
    return [record for _, record in read_records(path)]


def blocks(repo: Path, language: str) -> list[str]:
    """The fenced blocks of the guide in a language, in order, without their indentation."""
    text = (repo / "docs/decision_points.md").read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


class Points:
    """A finished run, and what is asked of it again and again."""

    def __init__(self, data: Path, tokenizer: Path, output: str = "") -> None:
        self.data, self.output = data, output
        self.tokenizer = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
        self.skeletons = {row["id"]: row for row in rows(data / "traces/agentdojo_skeletons.jsonl")}
        self.traces = {side: self.read("traces", side) for side in ("ds", "dr")}
        self.renders = {
            row["trace_id"]: row for side in ("ds", "dr") for row in self.read("renders", side)
        }

    def read(self, folder: str, side: str) -> list[dict[str, Any]]:
        return rows(self.data / f"{folder}/agentdojo_{side}.jsonl")

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def skeleton_of(self, trace: dict[str, Any]) -> dict[str, Any]:
        return self.skeletons[trace["links"]["parent_trace_ids"][0]]

    def prompt(self, trace: dict[str, Any]) -> list[int]:
        render = self.renders[trace["id"]]
        ids: list[int] = render["input_ids"][: render["prompt"]["length"]]
        return ids

    def twins(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """The harmful and the benign trace of every pair."""
        by_id = {trace["id"]: trace for trace in self.traces["dr"]}
        for trace in self.traces["ds"]:
            twin = trace["links"].get("paired_trace_id")
            if twin is not None:
                yield trace, by_id[twin]


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake, demo_model: Path
) -> Points:
    """The demo of decision points, as its make target runs it, with the checks of every file."""
    folder = tmp_path_factory.mktemp("points")
    snakemake(
        *("all", "validate", "export", "report", *EXPORTS),
        *("--profile", "profiles/local", "--configfile", "config/demo/decision_points.yaml"),
        config={
            "output_base": folder / "data",
            "log_dir": folder / "logs",
            "engine_device": "cpu",
        },
    )
    return Points(folder / "data", demo_model)


@pytest.fixture(scope="module")
def real(
    tmp_path_factory: pytest.TempPathFactory,
    snakemake: Snakemake,
    demo_model: Path,
    repo: Path,
    shared_dir: Path,
) -> Points:
    """The guide's settings and commands on one suite's transcripts of eight pipelines."""
    folder = tmp_path_factory.mktemp("guide")
    runs = folder / "runs.jsonl"
    with runs.open("wb") as out:
        for path in sorted((shared_dir / "data/agentdojo").glob("*.jsonl")):
            for line in path.read_bytes().splitlines(keepends=True):
                if orjson.loads(line)["metadata"].get("suite_name") == SUITE:
                    out.write(line)
    [given] = blocks(repo, "yaml")
    settings = yaml.safe_load(given) | SMALL
    settings |= {
        "agentdojo_path": str(runs),
        "model": str(demo_model),
        "tokenizer": str(demo_model),
        "output_base": str(folder / "mine"),
        "log_dir": str(folder / "logs"),
    }
    config = folder / "mine.yaml"
    config.write_bytes(orjson.dumps(settings))
    output = []
    places = {"mine.yaml": str(config), "mine": settings["output_base"]}
    for line in "".join(blocks(repo, "bash")).splitlines():
        program, *words = (places.get(word, word) for word in line.split())
        if program == "snakemake":
            output.append(snakemake(*words).output)
            continue
        assert (program, words[0]) == ("python", "workflow/scripts/show.py")
        shown = [sys.executable, *words, "--tokenizer", str(demo_model)]
        done = subprocess.run(shown, cwd=repo, capture_output=True, text=True)
        assert done.returncode == 0 or "has no twin" in done.stderr, done.stderr
    snakemake("--profile", "profiles/local", "--configfile", config, "--", *EXPORTS)
    return Points(folder / "mine", demo_model, "".join(output))


@pytest.fixture(params=["demo", "real"])
def run(request: pytest.FixtureRequest) -> Points:
    """Both runs, one after the other."""
    points: Points = request.getfixturevalue(request.param)
    return points


def test_the_demo_gives_five_of_each_kind_and_pairs(demo: Points) -> None:
    assert len(demo.read("lossmasks", "ds")) >= 5
    assert len(demo.read("lossmasks", "dr")) >= 5
    assert len(list(demo.twins())) >= 3
    [reject] = rows(demo.data / "rejects/cut/agentdojo_skeletons.jsonl")
    assert reject["reason"] == "goal_equals_task"


def test_every_real_transcript_is_accounted_for(real: Points) -> None:
    stats = orjson.loads((real.data / "stats/cut/agentdojo_skeletons.json").read_bytes())
    assert stats["counts"] == {
        "records_in": 332,
        "records_out": 148,
        "rejected": 0,
        "duplicates": 0,
        "not_selected": 184,
        "headers": 0,
    }
    assert stats["details"]["default_text"] == {"every_span": 148}
    assert stats["details"]["expected_calls"] == {"answer": 8, "calls": 115, "unknown": 25}
    fill = orjson.loads((real.data / "stats/fill/agentdojo_ds.json").read_bytes())["counts"]
    assert fill["records_in"] == 148
    assert fill["not_selected"] == 143
    assert len(real.traces["dr"]) >= 3
    assert len(real.traces["ds"]) >= 1
    assert "agentdojo_ds" in real.output


def test_twins_begin_with_the_same_tokens_and_differ_in_one_stretch(run: Points) -> None:
    pairs = 0
    for ds, dr in run.twins():
        one, other = run.prompt(ds), run.prompt(dr)
        injection = run.renders[ds["id"]]["signals"]["injection_spans"]
        first, last = injection[0]["token_start"], injection[-1]["token_end"]
        assert one[:first] == other[:first]
        assert one[:first] != one
        tail = run.decode(one[last:])
        assert tail
        assert run.decode(other).endswith(tail)
        pairs += 1
    assert pairs >= 1


def test_a_benign_prompt_holds_the_environments_own_text(run: Points) -> None:
    for trace in run.traces["dr"]:
        skeleton = run.skeleton_of(trace)
        hints = skeleton["signal_hints"]
        spans = hints.get("injection_char_spans", [hints["injection_char_span"]])
        expected = [message["content"] for message in skeleton["messages"]]
        for span in reversed(spans):
            text = expected[span["message_index"]]
            start, end = span["char_start"], span["char_end"]
            expected[span["message_index"]] = text[:start] + span["default_text"] + text[end:]
        contents = [message["content"] for message in trace["messages"]]
        assert contents[:-1] == expected
        assert trace["raw_metadata"]["generation"]["dr_context"] == "restored"
        assert "<INFORMATION>" not in run.decode(run.prompt(trace))


def test_spans_are_where_the_words_are(run: Points) -> None:
    for trace in run.traces["ds"]:
        render = run.renders[trace["id"]]
        ids = render["input_ids"]
        texts = [
            run.decode(ids[span["token_start"] : span["token_end"]])
            for span in render["signals"]["injection_spans"]
        ]
        injected = trace["tool_attack"]["injection_text"].strip()
        assert any(injected in text for text in texts)
        assert all(text.strip() in injected or injected in text for text in texts)
    for trace in (*run.traces["ds"], *run.traces["dr"]):
        render = run.renders[trace["id"]]
        ids, alignment = render["input_ids"], render["alignment"]
        made = [
            (index, call["function"]["name"])
            for index, message in enumerate(trace["messages"])
            for call in message.get("tool_calls", ())
        ]
        spans = alignment["tool_call_spans"]
        assert [(span["message_index"], span["tool_name"]) for span in spans] == made
        for span in spans:
            name = run.decode(ids[span["name_token_start"] : span["name_token_end"]])
            assert span["tool_name"] in name
        for span, message in zip(alignment["message_spans"], trace["messages"], strict=True):
            text = run.decode(ids[span["token_start"] : span["token_end"]])
            assert message["content"].strip() in text
            assert span["role"] in text


def test_loss_is_on_the_first_tokens_that_the_model_wrote(run: Points) -> None:
    for side in ("ds", "dr"):
        traces = {trace["id"]: trace for trace in run.traces[side]}
        for mask in run.read("lossmasks", side):
            render = run.renders[mask["trace_id"]]
            start = render["prompt"]["length"]
            written = traces[mask["trace_id"]]["raw_metadata"]["generation"]["completion_token_ids"]
            length = min(15, len(written))
            assert [place for place, weight in enumerate(mask["loss_mask"]) if weight] == list(
                range(start, start + length)
            )
            assert render["input_ids"][start:] == written
            assert [token for token in mask["labels"] if token != -100] == written[:length]


def test_pairs_say_how_many_tokens_they_share(run: Points) -> None:
    table = pq.read_table(run.data / "export/pairs").to_pylist()
    by_id = {ds["id"]: (ds, dr) for ds, dr in run.twins()}
    assert {row["ds_trace_id"] for row in table} == set(by_id)
    for row in table:
        one, other = (run.renders[trace["id"]]["input_ids"] for trace in by_id[row["ds_trace_id"]])
        shared = row["shared_prefix_tokens"]
        assert one[:shared] == other[:shared]
        assert one[shared] != other[shared]
        assert row["divergence_token"] == shared < row["ds_prompt_length"]


def exported(run: Points, pattern: str) -> list[dict[str, Any]]:
    found = sorted((run.data / "export").glob(pattern))
    assert found, pattern
    return [row for path in found for row in rows(path)]


def test_exports_by_category_fit_the_first_schemas(run: Points) -> None:
    for kind, schema in (("traces", TRACE), ("renders", RENDER), ("lossmasks", LOSSMASK)):
        table = exported(run, f"seed_v1/*/*_{kind}.jsonl")
        assert [fault for row in table for fault in faults(schema, row)] == []
        assert len(table) >= len(run.renders)
    pairs = exported(run, "seed_v1/*/contrastive_pairs.jsonl")
    assert {(pair["harmful_trace_id"], pair["benign_trace_id"]) for pair in pairs} == {
        (ds["id"], dr["id"]) for ds, dr in run.twins()
    }
    assert {pair["pair_type"] for pair in pairs} == {"injection_restored"}


def test_triplets_are_the_pairs_with_their_windows(run: Points) -> None:
    table = exported(run, "triplets/*.jsonl")
    twins = {ds["links"]["parent_trace_ids"][0]: (ds, dr) for ds, dr in run.twins()}
    assert {row["pair_id"] for row in table} == set(twins)
    for row in table:
        ds, dr = twins[row["pair_id"]]
        for name, trace in (("bad", ds), ("target", dr), ("anchor", dr)):
            render = run.renders[trace["id"]]
            start = render["prompt"]["length"]
            assert row[f"{name}_ids"] == render["input_ids"]
            assert row[f"{name}_prefix_len"] == start
            end = min(start + 15, len(render["input_ids"]))
            assert row[f"{name}_window"] == [start, end]
        assert row["suite"] == ds["task"]["family"]


def test_evaluation_cuts_hold_the_calls_of_their_skeletons(run: Points) -> None:
    table = exported(run, "next_tool_prediction/*.jsonl")
    cuts = {row["id"]: row for row in table if row["kind"] == "injection"}
    assert set(cuts) == set(run.skeletons)
    for name, skeleton in run.skeletons.items():
        attack, cut = skeleton["tool_attack"], cuts[name]
        assert cut["forbidden_calls"] == attack["target_calls"] != []
        assert cut["expected_calls"] == attack.get("expected_calls")
        assert [message["content"] for message in cut["messages"]] == [
            message["content"] for message in skeleton["messages"]
        ]
        tools = {tool["function"]["name"] for tool in cut["tools"]}
        assert {call["tool"] for call in cut["forbidden_calls"]} <= tools
    clean = [row for row in table if row["kind"] == "clean"]
    assert clean
    assert all(row["forbidden_calls"] == [] and row["expected_calls"] for row in clean)


def test_the_report_has_both_classes(run: Points) -> None:
    page = (run.data / "report/index.html").read_text(encoding="utf-8")
    for name in ("agentdojo/ds", "agentdojo/dr", "agentdojo_skeletons"):
        assert name in page


def test_the_guides_code_reads_the_pairs(
    real: Points, repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [code] = blocks(repo, "python")
    monkeypatch.chdir(real.data.parent)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    exec(compile(code, "docs/decision_points.md", "exec"), {})
    first = pq.read_table(real.data / "export/pairs/train.parquet").to_pylist()[0]
    shown = (
        first["shared_prefix_tokens"],
        first["divergence_token"],
        first["ds_prompt_length"],
    )
    assert capsys.readouterr().out.split()[-3:] == [str(number) for number in shown]
