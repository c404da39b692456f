"""The stage as a whole: rows that hold to their schema, who chose a policy, what is rejected, what
stops a run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cbdata.jsonl import JsonlError
from cbdata.lossmask.policies import PolicyError
from cbdata.lossmask.settings import LossmaskError
from cbdata.stage import TooManyRejects
from cbdata.traces.facts import UnmatchedRender
from tests.conversations import PROMPT, SHORT, agent_turns
from tests.unit.lossmask.files import Files


def test_a_row_spelled_out(files: Files) -> None:
    trace_id = files.add(
        SHORT,
        class_id="fujitsu_b4/ds",
        category="harmful",
        weight=2,
        split="eval",
        parent="trace_skeleton",
        policy="assistant_only",
    )
    (row,), rejects, stats = files.run()
    assert row.pop("lossmask_id").startswith("lossmask_")
    assert row == {
        "render_id": files.renders[0]["render_id"],
        "trace_id": trace_id,
        "policy_id": "assistant_only",
        "policy_version": "1.0.0",
        "policy_params": {},
        "policy_source": "trace",
        "loss_mask": [0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
        "labels": [-100, -100, -100, -100, 104, 105],
        "sample_weight": 2.0,
        "class_weight": 1.0,
        "zero_weight": False,
        "stats": {"total_tokens": 6, "masked_tokens": 4, "unmasked_tokens": 2, "mask_ratio": 4 / 6},
        "category": "harmful",
        "class_id": "fujitsu_b4/ds",
        "split": "eval",
        "pair_id": "trace_skeleton",
    }
    assert rejects == []
    assert (stats["details"]["tokens"], stats["details"]["trained_tokens"]) == (6, 2)


def test_weights_are_written_as_floats_in_every_row(files: Files) -> None:
    files.add(SHORT)
    files.run(policy="full_sequence")
    assert (
        b'"loss_mask":[1.0,1.0,1.0,1.0,1.0,1.0],"labels":[100,101,102,103,104,105],'
        in (files.folder / "out/lossmasks.jsonl").read_bytes()
    )


def test_two_runs_write_the_same_bytes(files: Files) -> None:
    for _ in range(3):
        files.add(SHORT)
    files.run("one")
    files.run("two")
    for kind in ("lossmasks", "rejects", "stats"):
        assert (files.folder / f"one/{kind}.jsonl").read_bytes() == (
            files.folder / f"two/{kind}.jsonl"
        ).read_bytes()


SCHEDULE = """
class_weights: {a: 0.5, b: 0}
lmp_overrides: {a: full_sequence, b: {policy: custom, params: {roles: {user: 0.5}}}}
"""


def test_the_first_rule_that_matches_chooses_the_policy(files: Files) -> None:
    schedule = files.folder / "schedule.yaml"
    schedule.write_text(SCHEDULE)
    files.add(SHORT, class_id="a", policy="completion_only")
    files.add(SHORT, class_id="b")
    files.add(SHORT, class_id="c", policy="completion_only")
    files.add(SHORT, class_id="c")
    files.add(PROMPT, class_id="c", completeness="skeleton")
    scheduled, _, _ = files.run(mwcs_schedule=schedule, allow_skeleton=True)
    assert [(row["policy_id"], row["policy_source"]) for row in scheduled] == [
        ("full_sequence", "schedule"),
        ("custom", "schedule"),
        ("completion_only", "trace"),
        ("assistant_only", "registry_default"),
        ("full_sequence", "skeleton_policy"),
    ]
    assert scheduled[1]["policy_params"] == {"roles": {"user": 0.5}}
    configured, _, _ = files.run(
        mwcs_schedule=schedule,
        allow_skeleton=True,
        policy="cb_full_sequence",
        skeleton_policy="full_sequence",
    )
    assert [row["policy_source"] for row in configured] == ["config"] * 4 + ["skeleton_policy"]
    assert {row["policy_id"] for row in configured[:4]} == {"cb_full_sequence"}


def test_sample_weight_is_the_trace_s_times_the_class_s_and_zero_stays(files: Files) -> None:
    schedule = files.folder / "schedule.yaml"
    schedule.write_text("class_weights: {a: 0.5, b: 0}\ndefault_weight: 3")
    for class_id, weight in (("a", 4), ("b", 1), ("c", 2), ("c", 0)):
        files.add(SHORT, class_id=class_id, weight=weight)
    rows, rejects, stats = files.run(mwcs_schedule=schedule)
    assert [(row["sample_weight"], row["class_weight"], row["zero_weight"]) for row in rows] == [
        (2.0, 0.5, False),
        (0.0, 0.0, True),
        (6.0, 3.0, False),
        (0.0, 3.0, True),
    ]
    assert rejects == []
    details = stats["details"]
    assert details["zero_weight_rows"] == 2
    # Before: a 4, b 1, c 2 of 7. After: a 2, b 0, c 6 of 8.
    assert {
        name: (entry["share_before"], entry["share_after"])
        for name, entry in details["classes"].items()
    } == {
        "a": (4 / 7, 0.25),
        "b": (1 / 7, 0.0),
        "c": (2 / 7, 0.75),
    }
    assert details["mwcs"]["mixture"]["c"] == {
        "traces": 2,
        "class_weight": 3.0,
        "in_schedule": False,
        "share_before": 2 / 7,
        "share_after": 0.75,
    }


def test_a_row_s_id_depends_on_policy_and_weight(files: Files) -> None:
    files.add(SHORT, class_id="a")
    schedule = files.folder / "schedule.yaml"
    schedule.write_text("class_weights: {a: 0.5}")
    runs = [files.run(policy="full_sequence"), files.run(), files.run(mwcs_schedule=schedule)]
    assert len({rows[0]["lossmask_id"] for rows, _, _ in runs}) == 3


def test_a_mask_without_a_trained_token_is_a_reject(files: Files) -> None:
    trace_id = files.add(PROMPT)
    files.add(SHORT)
    rows, (reject,), stats = files.run()
    assert len(rows) == 1
    assert (reject["reason"], reject["file"], reject["line"], reject["record_id"]) == (
        "empty_mask",
        "renders/made.jsonl",
        1,
        trace_id,
    )
    assert "assistant_only trains no token" in reject["detail"]
    assert stats["counts"]["records_in"] == 2


def test_a_registry_entry_may_allow_empty_masks(files: Files, repo: Path) -> None:
    registry = orjson.loads((repo / "configs/lmp_registry_v1.json").read_bytes())
    registry["policies"][0]["allow_empty"] = True
    path = files.folder / "registry.json"
    path.write_bytes(orjson.dumps(registry))
    files.add(PROMPT)
    (row,), rejects, _ = files.run(registry=path)
    assert (row["loss_mask"], row["labels"], row["stats"]["mask_ratio"], rejects) == (
        [0.0] * 5,
        [-100] * 5,
        1.0,
        [],
    )


def test_skeletons_only_where_they_are_allowed(files: Files) -> None:
    files.add(PROMPT, completeness="skeleton")
    rows, (reject,), _ = files.run(policy="full_sequence")
    assert (rows, reject["reason"]) == ([], "skeleton")
    (row,), rejects, _ = files.run(
        policy="assistant_only", allow_skeleton=True, skeleton_policy="cb_full_sequence"
    )
    assert (row["policy_id"], row["policy_source"], rejects) == (
        "cb_full_sequence",
        "skeleton_policy",
        [],
    )


def test_parameters_of_a_trace_go_with_its_own_policy(files: Files) -> None:
    files.add(SHORT, policy="custom", params={"roles": ["user"]})
    files.add(SHORT, policy="completion_only")
    rows, _, _ = files.run()
    assert rows[0]["loss_mask"] == [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    rows, (reject,), _ = files.run(policy="custom")
    assert [row["policy_params"] for row in rows] == [{"roles": ["user"]}]
    assert reject["reason"] == "policy_params_missing"
    rows, _, _ = files.run(
        policy={"policy": "custom", "params": {"token_ranges": [{"start": 0, "end": 1}]}}
    )
    assert [row["loss_mask"] for row in rows] == [[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]] * 2


def test_policy_on_a_category_that_it_does_not_suit_is_counted(files: Files) -> None:
    files.add(agent_turns(), category="benign")
    _, _, stats = files.run(policy="post_injection_only")
    assert stats["details"]["policy_unsuited_to_category"] == {"post_injection_only on benign": 1}


def test_an_unknown_policy_is_an_error_with_suggestions(files: Files) -> None:
    files.add(SHORT, policy="asistant_only")
    with pytest.raises(
        PolicyError, match="unknown loss mask policy 'tool_call_only'; did you mean tool_calls_only"
    ):
        files.run(policy="tool_call_only")
    with pytest.raises(PolicyError, match="'full'"):
        files.run(skeleton_policy="full")
    with pytest.raises(
        LossmaskError,
        match=(
            r"renders/made.jsonl:1: render_\w+ of trace_\w+ \(.*traces/made.jsonl:1\): .*mean"
            r" assistant_only"
        ),
    ):
        files.run()
    assert not (files.folder / "out").exists() or not any((files.folder / "out").iterdir())


def test_renders_are_matched_to_traces_in_order(files: Files) -> None:
    files.add(SHORT, rendered=False)
    files.add(SHORT, split="eval")
    files.add(SHORT, rendered=False)
    files.add(SHORT, class_id="other")
    rows, _, _ = files.run()
    assert [(row["trace_id"], row["split"], row["class_id"]) for row in rows] == [
        (files.traces[1]["id"], "eval", "made/benign"),
        (files.traces[3]["id"], "train", "other"),
    ]
    files.renders.reverse()
    with pytest.raises(
        UnmatchedRender,
        match=(
            rf"made.jsonl:2: render_\w+: expected trace {files.traces[1]['id']} in"
            r" .*traces/made.jsonl"
        ),
    ):
        files.run()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda render: render.pop("input_ids"), '"input_ids" is a required property'),
        (lambda render: render.pop("alignment"), '"alignment" is a required property'),
        (
            lambda render: render["alignment"]["message_spans"][1].pop("role"),
            'alignment/message_spans/1: "role" is a required property',
        ),
        (
            lambda render: render.update(input_ids=[1]),
            r"expected 6 input_ids \(sequence_length\), got 1",
        ),
    ],
)
def test_a_render_that_is_not_one_names_file_and_line(
    files: Files, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    files.add(SHORT)
    files.add(SHORT)
    change(files.renders[1])
    with pytest.raises(JsonlError, match=rf"renders/made.jsonl:2: .*{message}"):
        files.run()


def test_a_trace_that_is_not_one_names_file_and_line(files: Files) -> None:
    files.add(SHORT)
    del files.traces[0]["training"]
    with pytest.raises(
        JsonlError,
        match=r"traces/made.jsonl:1: expected a trace_v1 record, got KeyError: 'training'",
    ):
        files.run()


def test_no_records_make_empty_files(files: Files) -> None:
    rows, rejects, stats = files.run()
    assert (rows, rejects, stats["counts"]["records_in"]) == ([], [], 0)


def test_losing_nearly_every_mask_is_an_error_that_says_what_helps(files: Files) -> None:
    """As where max_length cuts every row before the model says a word."""
    for _ in range(2):
        files.add(PROMPT)
    with pytest.raises(TooManyRejects, match=r"2 of 2 records[\s\S]*raise max_length"):
        files.run(policy="assistant_only", reject_limit=0.9)
    rows, rejects, _ = files.run(policy="assistant_only")
    assert rows == [] and [row["reason"] for row in rejects] == ["empty_mask"] * 2
