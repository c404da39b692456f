"""One real vLLM engine over two nodes, which are two processes of this machine: the model's layers
are in two stages, and what goes from one to the other goes over gloo.

``srun`` is a stand-in of a few lines; tests/slurm/test_engines.py has the real one.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from safetensors.torch import load_file, save_file

from cbdata.fill.row_file import read_rows
from tests.ended_processes import ended
from tests.vllm.jobs import Jobs

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

WORKER = re.compile(r"Worker_PP1 pid=(\d+)")

SRUN = """#!/bin/sh
# Both processes of a step, the second one first; what ends badly takes the other along.
while [ "${1#-}" != "$1" ]; do shift; done
export SLURM_LAUNCH_NODE_IPADDR=127.0.0.1
SLURM_PROCID=1 SLURMD_NODENAME=n2 "$@" & further=$!
SLURM_PROCID=0 SLURMD_NODENAME=n1 "$@" & head=$!
wait $head; status=$?
[ $status = 0 ] || kill -KILL $further
wait $further || exit $((status ? status : 1))
exit $status
"""


@pytest.fixture
def small_model(demo_model: Path, tmp_path: Path) -> Path:
    """The first two layers of the demo's model: one for each node, and soon compiled."""
    path = tmp_path / "two-layers"
    shutil.copytree(demo_model, path, symlinks=False)
    config = orjson.loads((path / "config.json").read_bytes())
    (path / "config.json").write_bytes(orjson.dumps({**config, "num_hidden_layers": 2}))
    (weights,) = path.glob("*.safetensors")
    kept = {
        name: tensor.clone()
        for name, tensor in load_file(weights).items()
        if not name.startswith("model.layers.") or int(name.split(".")[2]) < 2
    }
    weights.unlink()
    save_file(kept, weights, {"format": "pt"})
    return path


def test_a_real_engine_over_two_nodes_loads_generates_and_ends_in_order(
    jobs: Jobs, small_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/srun").write_text(SRUN)
    (tmp_path / "bin/srun").chmod(0o755)
    jobs.settings = replace(jobs.settings, model=str(small_model), limit=6)
    jobs.runtime = {"nodes_per_engine": 2}
    environ = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "1",
        "SLURMD_NODENAME": "n1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    status, messages = jobs.finish(jobs.start(**environ))
    log = Path(str(jobs.job().log))
    further = log.with_suffix(".node1.log").read_text()
    assert status == 0, messages + further
    stored = jobs.stored()
    assert stored and all(row["token_ids"] for row in stored)
    assert "'pipeline_parallel_size': 2" in log.read_text() and "over 2 nodes" in log.read_text()
    assert "this node's part of the model is loaded" in further
    assert "the engine's end: as planned" in further
    # No worker outlives the job, which vLLM's own would: it waits for the other node.
    assert all(ended(pid) for pid in map(int, WORKER.findall(further)))
    rows = [row for _, row in read_rows(jobs.job().sets[0].output)]
    assert rows[-1]["generated"] == len(stored)

    # A job on one node goes on with what two have stored.
    jobs.runtime = {}
    status, messages = jobs.finish(jobs.start())
    assert status == 0, messages
    assert len(jobs.stored()) == len(stored)
