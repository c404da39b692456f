"""What ``--config`` carries reaches a job as it was typed, through every shell on the way, also
where ``$HOME`` cannot be written to.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.pipeline import Pipeline
from tests.slurm.session import NewSession

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

# A split may have any name, and every trace has it.
AWKWARD = "it's \"$HOME\" `id` $(id) \\n \\\\ a # b; {x} &\n漢字 ünï 🙂 '"


def test_values_reach_jobs_as_typed(
    cluster: Cluster,
    new_session: NewSession,
    profiles: Path,
    repo: Path,
    demo_model: Path,
    tmp_path: Path,
) -> None:
    session = new_session(cluster, "", profiles / "slurm", profiles / "slurm-ci")
    session.variables["HOME"] = "/proc/no home"
    # Folders with names that a shell would change: that of the outputs, and the working directory
    # with the checkout and CB_SCRATCH.
    data = tmp_path / "out $NO_VARIABLE `id` it's"
    session.directory = session.directory.rename(tmp_path / "it's & $NOT `id`")
    pipeline = Pipeline(session, repo, demo_model, fujitsu_b4_path="null", split=AWKWARD)
    pipeline.data = data
    session.arguments.insert(-1, f"output_base={data}/./")
    session.run("-n", "load")
    assert not data.exists(), "a dry run writes nothing"

    session.run("load")
    rows = pipeline.rows("traces/agentdojo_complete.jsonl")
    assert rows and {row["split"] for row in rows} == {AWKWARD}
    (record,) = (data / "run_configs").iterdir()
    assert json.loads(record.read_text())["split"] == AWKWARD

    session.arguments.insert(-1, "split={train: 0.5, eval: 0.5}")
    session.run("load", "--groups", "convert_agentdojo=g")
    rows = pipeline.rows("traces/agentdojo_complete.jsonl")
    assert {row["split"] for row in rows} == {"train", "eval"}
    assert len(list((data / "run_configs").iterdir())) == 2
