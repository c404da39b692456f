"""Sweeps over policies and steps by target request: renders are read, never made; what one rule
made is up to date for the other.
"""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.conversations import agent_turns, build_render, build_trace
from tests.records import write_jsonl
from tests.workflow.command import Snakemake

pytestmark = pytest.mark.workflow

CLASSES = {"fujitsu_b4_ds": "fujitsu_b4/ds", "fujitsu_b4_dr": "fujitsu_b4/dr"}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, object]:
    """Traces and renders of two data sets, as an earlier run left them."""
    for name, class_id in CLASSES.items():
        renders = [build_render(agent_turns(), bos=f"<{name} {number}>")[0] for number in range(3)]
        write_jsonl(
            tmp_path / f"data/traces/{name}.jsonl",
            [build_trace(render["trace_id"], class_id=class_id) for render in renders],
        )
        write_jsonl(tmp_path / f"data/renders/{name}.jsonl", renders)
    return {
        "output_base": tmp_path / "data",
        "log_dir": tmp_path / "logs",
        "skip_load": True,
        "skip_fill": True,
    }


def rows(path: Path) -> list[dict]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_all_policies_then_one_then_nothing(
    snakemake: Snakemake, config: dict[str, object], tmp_path: Path
) -> None:
    # The renders were put there by hand, without the record of a rule: their age alone counts.
    only = ("--allowed-rules", "apply_policies", "lossmask_by_policy", "lossmask_all_policies")
    snakemake("-c2", "lossmask_all_policies", *only, config=config)
    by_policy = tmp_path / "data/lossmasks/by_policy"
    made = {path.parent.name: path.read_bytes() for path in by_policy.glob("*/fujitsu_b4_ds.jsonl")}
    assert len(made) == 15
    one = by_policy / "action_commitment/fujitsu_b4_ds.jsonl"
    assert "Nothing to be done" in snakemake("-n", one, *only, config=config).output
    one.unlink()
    snakemake("-c1", one, *only, config=config)
    assert one.read_bytes() == made["action_commitment"]
    assert (
        "Nothing to be done"
        in snakemake("-n", "lossmask_all_policies", *only, config=config).output
    )
    done = snakemake(
        "-n", by_policy / "action_comitment/fujitsu_b4_ds.jsonl", *only, config=config, check=False
    )
    assert done.status
    assert "did you mean action_commitment" in done.output


def test_steps_of_a_schedule(
    snakemake: Snakemake, config: dict[str, object], tmp_path: Path
) -> None:
    only = ("--allowed-rules", "lossmask_by_step", "count_classes", "mwcs_table")
    by_step = tmp_path / "data/lossmasks/by_step"
    done = snakemake("-n", by_step / "75/fujitsu_b4_ds.jsonl", *only, config=config, check=False)
    assert done.status
    assert "mwcs_schedule is not set" in done.output
    scheduled = config | {"mwcs_schedule": "alpha_decay_staged"}
    table = tmp_path / "data/mwcs/alpha_decay_staged/weights_0_to_10.csv"
    snakemake(
        "-c2",
        *(by_step / f"{step}/{name}.jsonl" for step in (0, 75) for name in CLASSES),
        table,
        *only,
        config=scheduled,
    )
    weights = {
        (step, name): {row["sample_weight"] for row in rows(by_step / f"{step}/{name}.jsonl")}
        for step in (0, 75)
        for name in CLASSES
    }
    assert weights == {
        (0, "fujitsu_b4_ds"): {1.0},
        (75, "fujitsu_b4_ds"): {0.75},
        (0, "fujitsu_b4_dr"): {0.0},
        (75, "fujitsu_b4_dr"): {0.25},
    }
    assert len(table.read_text().splitlines()) == 12
    assert table.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("policy", "asistant_only", "did you mean assistant_only"),
        ("skeleton_policy", "full", "did you mean"),
        ("pooling_policy", "completion_windows", "did you mean completion_window"),
        ("thinking_weight", 1.5, "thinking_weight: 1.5 is not allowed"),
        ("mwcs_schedule", "balanced", "did you mean balanced_cb"),
        ("mwcs_schedule", "gone.yaml", "does not exist"),
    ],
)
def test_names_are_looked_up_before_any_job_runs(
    snakemake: Snakemake, config: dict[str, object], key: str, value: str, message: str
) -> None:
    done = snakemake("-n", "lossmask", config=config | {key: value}, check=False)
    assert done.status
    assert message in done.output
    assert "Traceback" not in done.output
