"""What the viewer shows of a reject."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.fill.reasons import REASONS as FILL
from cbdata.report.reject_view import (
    PROMPT_CHARS,
    RAW_CHARS,
    meaning,
    mode_of,
    prompt_of,
    reject_record,
)
from cbdata.sources.registry import SOURCES
from tests.records import Corpus


def reject(stage: str = "fill", reason: str = "other_tool", **more: Any) -> dict[str, Any]:
    """A row of a reject file."""
    return {"stage": stage, "reason": reason, "detail": "d"} | more


def skeleton() -> dict[str, Any]:
    """A skeleton of the demo's kind."""
    made = Corpus(pairs=1, validation_pairs=0).skeletons[0]
    made["tool_attack"] = {"expected_tool": "retrieve_docs", "simulated_tool": "search_web"}
    return made


@pytest.mark.parametrize(
    ("raw", "shown", "length"),
    [(None, "", 0), ("half a line", "half a line", 11), ("x" * 10_000, "x" * RAW_CHARS, 10_000)],
)
def test_raw_records_are_cut_and_say_so(raw: object, shown: str, length: int) -> None:
    assert reject_record(reject("render", "no_such_reason", raw=raw)) == {
        "detail": "d",
        "meaning": "",
        "raw": shown,
        "rawLength": length,
    }


def test_every_reason_of_a_stage_has_its_meaning() -> None:
    assert meaning("fill", "x_ds", "other_tool") == FILL["other_tool"] != ""
    assert meaning("etl_a", "anything", "not_json") == "the line is not JSON"
    for source in SOURCES:
        for code, text in source.own_reasons().items():
            assert meaning("etl_a", source.dataset, code) == text
    assert meaning("lossmask", "x", "no_such_reason") == meaning("no_such_stage", "x", "y") == ""


@pytest.mark.parametrize(
    ("name", "mode"), [("a_ds", "ds"), ("a_dr", "dr"), ("ds", None), ("a_complete", None)]
)
def test_the_mode_is_in_the_name(name: str, mode: str | None) -> None:
    assert mode_of(name) == mode


def test_the_prompt_is_what_the_model_was_shown() -> None:
    asked = skeleton()
    injected = asked["messages"][1]["content"]
    assert prompt_of(asked, "ds", {}) == [["system", "You call tools ."], ["user", injected]]
    shown = prompt_of(asked, "dr", {"dr_context": "removed", "system_suffix": "Hm ."})
    assert shown == [
        ["system", "You call tools .\n\nHm ."],
        ["user", "show me pictures of planet 0"],
    ]
    # Where the injection could not be taken out, nothing was generated, and the skeleton is shown.
    del asked["signal_hints"]["injection_char_span"]
    assert prompt_of(asked, "dr", {"dr_context": "removed"})[1][1] == injected


def test_a_completion_is_told_with_its_prompt() -> None:
    raw = {
        "completion": "x" * (RAW_CHARS + 5),
        "completion_token_ids": [1, 2, 3],
        "completion_spans": {},
        "observed_tool": "send_email",
        "generation": {"model": "m"},
    }
    record = reject_record(reject(raw=raw), "demo_ds", skeleton())
    assert record["completion"] == "x" * RAW_CHARS and record["completionLength"] == RAW_CHARS + 5
    assert record["asked"] == {
        "mode": "ds",
        "expected tool": "retrieve_docs",
        "tool of the attack": "search_web",
        "observed tool": "send_email",
    }
    assert record["prompt"][-1][0] == "user"
    assert record["promptLength"] == sum(len(text) for _, text in record["prompt"])
    assert "completion" not in record["raw"] and '"model": "m"' in record["raw"]


def test_of_a_long_prompt_the_end_is_kept() -> None:
    asked = skeleton()
    asked["messages"][0]["content"] = "s" * (2 * PROMPT_CHARS)
    user = asked["messages"][1]["content"]
    record = reject_record(reject(), "demo_ds", asked)
    assert record["prompt"] == [["system", "s" * (PROMPT_CHARS - len(user))], ["user", user]]
    assert record["promptLength"] == 2 * PROMPT_CHARS + len(user)
    asked["messages"][1]["content"] = "u" * (PROMPT_CHARS + 1)
    assert reject_record(reject(), "demo_ds", asked)["prompt"] == [["user", "u" * PROMPT_CHARS]]


def test_without_a_skeleton_or_a_completion_the_raw_record_is_whole() -> None:
    for raw in ({"completion": "text"}, {"completion": 7}, "completion"):
        other = reject_record(reject("render", "unaligned", raw=raw), "demo_ds")
        assert "completion" not in other and "prompt" not in other and other["rawLength"] > 0
    alone = reject_record(reject(raw={"completion": "text"}), "demo_ds")
    assert alone["completion"] == "text" and (alone["raw"], alone["rawLength"]) == ("", 0)
    assert "asked" not in alone
