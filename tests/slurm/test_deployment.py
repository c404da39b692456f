"""Where a job's software comes from: modules that it loads, a conda environment that it activates,
or an allocation that Snakemake is inside of.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.pipeline import SMALL_FILL, Pipeline
from tests.slurm.session import NewSession

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

MODULES_INIT = Path("/usr/share/modules/init/bash")
SHARD = "fill/shards/fujitsu_b4/0-of-1.jsonl"


def python_that_notes_itself(path: Path, notes: Path, interpreter: str = sys.executable) -> None:
    """An executable Python that first notes the job that runs it."""
    path.parent.mkdir(parents=True)
    path.write_text(
        f'#!/bin/sh\necho "$SLURM_JOB_ID $SLURMD_NODENAME" >> {notes}\nexec {interpreter} "$@"\n'
    )
    path.chmod(0o755)


def jobs_in(notes: Path) -> set[str]:
    return {line.split()[0] for line in notes.read_text().splitlines()} if notes.exists() else set()


@pytest.fixture
def pipeline(
    cluster: Cluster, new_session: NewSession, profiles: Path, repo: Path, demo_model: Path
) -> Pipeline:
    session = new_session(cluster, "", profiles / "slurm", profiles / "slurm-ci")
    return Pipeline(
        session,
        repo,
        demo_model,
        **SMALL_FILL,
        fill_shards=1,
        limit=2,
        envmodules="[StdEnv/2023,cuda/12.6,python/3.11]",
    )


@pytest.fixture
def modules(pipeline: Pipeline, tmp_path: Path) -> Path:
    """Three modules of a site; the folder where each notes the jobs that load it. That of Python
    notes also in ``scripts`` what it runs.
    """
    if not MODULES_INIT.exists():
        pytest.skip(f"{MODULES_INIT} does not exist (apt-get install environment-modules)")
    notes = tmp_path / "notes"
    notes.mkdir()
    # A site's Python is that which .venv was made from, and has none of .venv's libraries.
    python_that_notes_itself(
        tmp_path / "python/bin/python", notes / "scripts", sys._base_executable
    )
    for name, line in {
        "StdEnv/2023": "setenv CB_STDENV 2023",
        "cuda/12.6": f"prepend-path PATH {tmp_path}/cuda/bin",
        "python/3.11": f"prepend-path PATH {tmp_path}/python/bin",
    }.items():
        file = tmp_path / "modulefiles" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        note = (
            f'set file [open {notes}/{name.split("/")[0]} a]; puts $file "$::env(SLURM_JOB_ID)";'
            " close $file"
        )
        file.write_text(
            f"#%Module1.0\n{line}\nif {{[module-info mode load] && [info exists"
            f" ::env(SLURM_JOB_ID)]}} {{ {note} }}\n"
        )
    # How sites make `module` known to shells that are no login shells: a file that bash reads at
    # its start.
    pipeline.session.variables |= {
        "BASH_ENV": str(MODULES_INIT),
        "MODULEPATH": str(tmp_path / "modulefiles"),
    }
    return notes


def test_jobs_load_the_modules_and_keep_their_own_python(
    pipeline: Pipeline, cluster: Cluster, modules: Path
) -> None:
    """All the jobs load all of the configuration's modules; no script runs in the modules' Python,
    though that comes first on their PATH.
    """
    pipeline.session.run("--sdm", "env-modules", "--", pipeline.data / SHARD)
    jobs = {job for job in cluster.jobs() if pipeline.logs_hold(job)}
    assert len(jobs) == 2
    for name in ("StdEnv", "cuda", "python"):
        assert jobs_in(modules / name) == jobs, name
    assert jobs_in(modules / "scripts") == set()
    assert (pipeline.data / SHARD).stat().st_size > 0


CONDA = """#!/bin/sh
# Answers what Snakemake asks of conda, and makes an environment whose Python is this test's.
echo "$*" >> {notes}
case "$1 $2" in
"info --json") echo '{{"conda_prefix": "{base}", "platform": "linux-64"}}' ;;
"config --get") echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
"env create")
    for last; do :; done
    mkdir -p "$last"
    cp -r {base}/template "$last/bin" ;;
"clean -y") ;;
"--version ") echo "conda 25.1.1" ;;
*) exit 3 ;;
esac
"""


def test_jobs_activate_the_conda_environment(
    pipeline: Pipeline, cluster: Cluster, repo: Path, tmp_path: Path
) -> None:
    """One environment, made from environment.yml on the login node, in which every job runs.

    The ``conda`` here is a stand-in, because nothing can be fetched from a channel in a test: what
    it shows is what the workflow asks of conda, and that jobs use the result; whether the channels
    can satisfy environment.yml it does not show.
    """
    base = tmp_path / "conda"
    python_that_notes_itself(base / "template/python", tmp_path / "scripts")
    (base / "bin").mkdir()
    (base / "bin/activate").write_text('export PATH="$1/bin:$PATH" CONDA_PREFIX="$1"\n')
    (base / "bin/conda").write_text(CONDA.format(base=base, notes=tmp_path / "asked"))
    (base / "bin/conda").chmod(0o755)
    pipeline.session.variables["PATH"] = f"{base / 'bin'}:{cluster.env()['PATH']}"
    pipeline.session.run("--sdm", "conda", "--", pipeline.data / SHARD)
    jobs = {job for job in cluster.jobs() if pipeline.logs_hold(job)}
    assert len(jobs) == 2
    assert jobs_in(tmp_path / "scripts") == jobs
    (made,) = [
        line
        for line in (tmp_path / "asked").read_text().splitlines()
        if line.startswith("env create")
    ]
    asked_for = Path(made.split("--file ")[1].split()[0])
    assert asked_for.read_bytes() == (repo / "environment.yml").read_bytes()
    assert (pipeline.data / SHARD).stat().st_size > 0


def test_inside_an_allocation_the_workflow_runs_as_on_one_machine(
    pipeline: Pipeline, cluster: Cluster, profiles: Path
) -> None:
    """An interactive job: no further jobs are submitted, and the fill stage runs in the allocation
    with its GPU.
    """
    pipeline.session.profiles = [profiles / "local"]
    before = set(cluster.jobs())
    allocation = ["srun", "--job-name=interactive", "--gpus=1", "--cpus-per-task=4", "--mem=8000"]
    command = pipeline.session.command("--cores", "4", "--", pipeline.data / SHARD)
    cluster.run(
        [*allocation, *command],
        timeout=300,
        env=pipeline.session.env,
        cwd=pipeline.session.directory,
    )
    (job,) = set(cluster.jobs()) - before
    assert (cluster.jobs()[job]["JobName"], cluster.jobs()[job]["TresPerJob"]) == (
        "interactive",
        "gres:gpu:1",
    )
    rows = [json.loads(line) for line in (pipeline.data / SHARD).read_text().splitlines()]
    assert rows[-1]["row"] == "run" and rows[-1]["generated"] > 0
