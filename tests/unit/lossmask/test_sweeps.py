"""Several policies in one pass, and one schedule at several steps."""

from __future__ import annotations

import pytest

from cbdata.config import default_settings
from cbdata.lossmask.registry import Registry
from cbdata.lossmask.settings import LossmaskError, LossmaskSettings
from cbdata.lossmask.stage import apply_policies, write_manifest
from cbdata.mwcs.schedule import ScheduleError
from tests.conversations import PROMPT, SHORT, agent_turns
from tests.unit.lossmask.files import Files

CURRICULUM = """
curriculum:
  type: linear
  phases:
    - {name: one, start_step: 0, end_step: 10, class_weights: {a: 1, b: 0}, lmp_overrides: {a: full_sequence}}
    - {name: two, start_step: 10, end_step: 20, class_weights: {a: 0, b: 1}}
"""  # noqa: E501 - embedded text


def test_all_policies_at_once_are_what_each_is_alone(files: Files, registry: Registry) -> None:
    files.add(agent_turns(), policy="custom", params={"roles": {"tool": 0.2}})
    files.add(SHORT, rendered=False)
    files.add(PROMPT)
    files.add(PROMPT, completeness="skeleton")
    files.add(SHORT, policy="completion_only")
    kinds = ("lossmasks", "rejects", "stats")
    for policy in registry.ids:
        files.run(f"alone/{policy}", policy=policy, allow_skeleton=True)
    together = {policy: files.stage_files(f"together/{policy}") for policy in registry.ids}
    inputs = (files.folder / "renders/made.jsonl", files.folder / "traces/made.jsonl")
    settings = default_settings(LossmaskSettings, policy="no_such", allow_skeleton=True)
    apply_policies(*inputs, together, settings, name="made")
    write_manifest(files.folder / "manifest.json", "made", together)
    for policy in registry.ids:
        for kind in kinds:
            alone = (files.folder / f"alone/{policy}/{kind}.jsonl").read_bytes()
            assert (files.folder / f"together/{policy}/{kind}.jsonl").read_bytes() == alone, (
                policy,
                kind,
            )
    assert b'"injection_aware"' in (files.folder / "manifest.json").read_bytes()


def test_weights_and_policies_are_those_of_the_step(files: Files) -> None:
    schedule = files.folder / "schedule.yaml"
    schedule.write_text(CURRICULUM)
    files.add(SHORT, class_id="a", weight=2)
    files.add(SHORT, class_id="b")
    shown = {}
    for step in (None, 0, 5, 10, 99):
        rows, _, stats = files.run(mwcs_schedule=schedule, mwcs_step=step)
        shown[step] = [(row["sample_weight"], row["zero_weight"], row["policy_id"]) for row in rows]
        assert stats["details"]["mwcs"]["step"] == (step or 0)
    assert shown[None] == shown[0] == [(2.0, False, "full_sequence"), (0.0, True, "assistant_only")]
    assert shown[5] == [(1.0, False, "full_sequence"), (0.5, False, "assistant_only")]
    assert shown[10] == shown[99] == [(0.0, True, "assistant_only"), (1.0, False, "assistant_only")]


def test_a_schedule_that_does_not_fit_the_traces_stops_the_stage(files: Files) -> None:
    schedule = files.folder / "schedule.yaml"
    schedule.write_text("class_weights: {made/bening: 2}")
    files.add(SHORT)
    with pytest.raises(
        ScheduleError, match="no trace has the class made/bening; did you mean made/benign"
    ):
        files.run(mwcs_schedule=schedule)
    settings = default_settings(LossmaskSettings, mwcs_schedule=schedule)
    with pytest.raises(LossmaskError, match="cannot be checked without the class counts"):
        apply_policies("r", "t", {}, settings, name="made")
