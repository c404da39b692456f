"""The pooling mask, the weight of reasoning and the messages' own in the rows of the stage."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.jsonl import JsonlError
from cbdata.lossmask.policies import PolicyError
from tests.conversations import PROMPT, SHORT, Thinking, Turn
from tests.unit.lossmask.files import Files

THOUGHT = [
    Turn("user", ["<user>"], ["hi"]),
    Turn("assistant", ["<asst>"], [Thinking(["<think>", "</think>"]), "yes", "<end>"]),
]


def row_id(files: Files, **settings: Any) -> str:
    (row,), _, _ = files.run(**settings)
    return row["lossmask_id"]


def test_a_row_without_the_new_settings_has_none_of_their_fields(files: Files) -> None:
    files.add(THOUGHT)
    (row,), _, stats = files.run()
    assert not {"thinking_weight", "message_losses", "pooling_mask"} & set(row)
    assert not {"pooling_policies", "rows_with_message_losses"} & set(stats["details"])


@pytest.mark.parametrize("weight", [0, 0.5])
def test_the_weight_of_reasoning_is_recorded(files: Files, weight: float) -> None:
    files.add(THOUGHT)
    (row,), _, _ = files.run(thinking_weight=weight)
    assert row["thinking_weight"] == weight
    assert row["loss_mask"] == [0.0, 0.0, 0.0, 0.0, weight, weight, 1.0, 1.0]
    assert row["labels"][4:] == ([-100, -100] if weight == 0 else [104, 105]) + [106, 107]
    assert row["stats"]["unmasked_tokens"] == (2 if weight == 0 else 4)


def test_a_second_mask_stands_beside_the_first(files: Files) -> None:
    files.add(THOUGHT)
    pooling = {"policy": "completion_window", "params": {"window": 1}}
    (row,), _, stats = files.run(pooling_policy=pooling, thinking_weight=0.5)
    (plain,), _, _ = files.run("plain", thinking_weight=0.5)
    assert row["pooling_mask"] == [0.0] * 6 + [1.0, 0.0]
    own = ("pooling_mask", "pooling_policy_id", "pooling_policy_version", "pooling_policy_params")
    assert [row[key] for key in own[1:]] == [
        "completion_window",
        "1.0.0",
        {"window": 1, "after_thinking": True},
    ]
    assert {k: v for k, v in row.items() if k not in (*own, "lossmask_id")} == {
        k: v for k, v in plain.items() if k != "lossmask_id"
    }
    assert stats["details"]["pooling_policies"] == {"completion_window@1.0.0": 1}
    assert stats["details"]["policies"] == {"assistant_only@1.0.0": 1}


def test_reasoning_and_turns_weigh_in_the_second_mask_too(files: Files) -> None:
    files.add(THOUGHT, losses=[None, 0.5])
    (row,), _, stats = files.run(
        pooling_policy="assistant_only", policy="full_sequence", thinking_weight=0
    )
    assert row["pooling_mask"] == [0.0] * 6 + [0.5, 0.5]
    assert row["message_losses"] == [{"message_index": 1, "loss": 0.5}]
    assert stats["details"]["rows_with_message_losses"] == 1


def test_a_row_s_id_depends_on_everything_that_makes_its_masks(files: Files) -> None:
    files.add(THOUGHT)
    settings: list[dict[str, Any]] = [
        {},
        {"thinking_weight": 0.5},
        {"thinking_weight": 0},
        {"pooling_policy": "assistant_only"},
        {"pooling_policy": "completion_window"},
        {"pooling_policy": {"policy": "completion_window", "params": {"window": 2}}},
        {"pooling_policy": "assistant_only", "thinking_weight": 0.5},
    ]
    ids = [row_id(files, **chosen) for chosen in settings]
    files.traces[0]["messages"][0]["loss"] = 0.5
    ids.append(row_id(files))
    files.traces[0]["messages"][0]["loss"] = 0.25
    ids.append(row_id(files))
    assert len(set(ids)) == len(ids)
    files.traces[0]["messages"][0]["loss"] = 1
    assert row_id(files) == ids[0] == row_id(files, thinking_weight=1)


def test_a_mask_that_the_weights_empty_is_a_reject(files: Files) -> None:
    files.add(SHORT, losses=[None, 0])
    files.add(SHORT)
    rows, (reject,), _ = files.run()
    assert (len(rows), reject["reason"]) == (1, "empty_mask")
    assert "thinking_weight and messages[].loss applied" in reject["detail"]


def test_a_pooling_mask_without_a_token_is_a_reject(files: Files) -> None:
    trace_id = files.add(SHORT)
    rows, (reject,), stats = files.run(pooling_policy="tool_calls_only")
    assert rows == []
    assert (reject["reason"], reject["record_id"]) == ("empty_pooling_mask", trace_id)
    assert "policy tool_calls_only pools no token of this render" in reject["detail"]
    assert stats["rejected_by_reason"] == {"empty_pooling_mask": 1}


def test_skeletons_pool_under_their_own_policy(files: Files) -> None:
    files.add(PROMPT, completeness="skeleton")
    (row,), rejects, _ = files.run(pooling_policy="completion_only", allow_skeleton=True)
    assert (row["pooling_policy_id"], row["pooling_mask"], rejects) == (
        "full_sequence",
        [1.0] * 5,
        [],
    )
    (row,), _, _ = files.run(allow_skeleton=True)
    assert "pooling_mask" not in row


def test_names_and_numbers_of_the_settings_are_checked(files: Files) -> None:
    files.add(SHORT)
    with pytest.raises(PolicyError, match="unknown loss mask policy 'assistant'; did you mean"):
        files.run(pooling_policy="assistant")
    with pytest.raises(PolicyError, match="parameter window: expected a whole number"):
        files.run(pooling_policy={"policy": "completion_window", "params": {"window": 0}})
    with pytest.raises(PolicyError, match=r"thinking_weight: expected a weight in \[0, 1\], got 2"):
        files.run(thinking_weight=2)


@pytest.mark.parametrize("loss", [1.5, -0.1, "1", True, None])
def test_a_loss_that_is_no_weight_names_file_and_line(files: Files, loss: Any) -> None:
    files.add(SHORT)
    files.traces[0]["messages"][0]["loss"] = loss
    with pytest.raises(JsonlError, match=r"made.jsonl:1: .*messages/0/loss: expected a number in"):
        files.run()


def test_windows_by_class_from_a_schedule(files: Files) -> None:
    schedule = files.folder / "schedule.yaml"
    schedule.write_text(
        "class_weights: {a: 1, b: 1}\n"
        "lmp_overrides: {a: {policy: completion_window, params: {window: 1}}, b: full_sequence}"
    )
    files.add(THOUGHT, class_id="a")
    files.add(SHORT, class_id="b")
    rows, _, _ = files.run(mwcs_schedule=schedule, pooling_policy="assistant_only")
    assert [row["loss_mask"] for row in rows] == [[0.0] * 6 + [1.0, 0.0], [1.0] * 6]
    assert [row["pooling_policy_id"] for row in rows] == ["assistant_only"] * 2
