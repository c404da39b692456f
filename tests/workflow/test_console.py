"""What people see of a run on stderr, whole: jobs, errors, the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cbdata.console import INTERRUPTED
from tests.workflow.command import Run, Snakemake

pytestmark = pytest.mark.workflow

PROFILE = ("--profile", "profiles/local")
SNAKEMAKES = ("SNAKEMAKE", "Reason:", "Finished jobid", "Select jobs", "Building DAG", "Traceback")

# Loaded by every Python that starts with it on its path: the render stage's script waits when it is
# about to give its files their names.
WAITS = """
import os, sys, time
if any(argument.endswith(".render_traces.py") for argument in sys.orig_argv):
    def wait(source, target):
        open(os.path.join(os.path.dirname(__file__), "waits"), "w").close()
        time.sleep(100)
    os.replace = wait
"""


@pytest.fixture
def config(tmp_path: Path, repo: Path, demo_model: Path) -> dict[str, object]:
    """The demo's transcripts, in a folder of their own."""
    return {
        "fujitsu_b4_path": "null",
        "agentdojo_path": repo / "config/demo/agentdojo.jsonl",
        "tokenizer": demo_model,
        "tools_included": "false",
        "output_base": tmp_path / "data",
        "log_dir": tmp_path / "logs",
    }


def failed(run: Run) -> list[str]:
    """The lines of a run that ended with an error and showed no more than its reason."""
    assert run.status != 0
    assert not [word for word in (*SNAKEMAKES, "CalledProcessError") if word in run.output]
    return run.output.splitlines()


def test_a_run_is_a_line_for_each_job_and_ends_with_what_came_of_the_data(
    snakemake: Snakemake, config: dict[str, object], tmp_path: Path
) -> None:
    text = snakemake(*PROFILE, config=config).output
    assert not [word for word in SNAKEMAKES if word in text]
    assert re.search(r"(?m)^\[\S+\] Job \d+: Convert the AgentDojo transcripts to traces\.$", text)
    end = text[text.index("data set  ") :].splitlines()
    assert len(end) <= 30
    assert end[1].split()[:7] == ["agentdojo_complete", "9", "6", "2", "1", "0", "75%"]
    assert f"There: {tmp_path}/data/stats/summary.txt" in end
    assert f"There: {tmp_path}/data/report/index.html" in end
    assert "report (" not in text and "export (" in text
    loaded = snakemake("load", *PROFILE, "--forcerun", "convert_agentdojo", config=config)
    assert "  etl_a: empty_transcript, 1 of 8 (12%). Hint: " in loaded.output
    assert (
        "Next: the same command with another target at its end, -- TARGET: lossmask"
        in loaded.output
    )
    whole = snakemake("load", *PROFILE, "--verbose", "--forcerun", "convert_agentdojo",
                      config=config)  # fmt: skip
    assert "Building DAG" in whole.output and "Finished jobid" in whole.output


@pytest.mark.parametrize("verbose", [(), ("--verbose",)])
def test_a_run_whose_reader_goes_away_goes_on(
    verbose: tuple[str, ...], repo: Path, config: dict[str, object], tmp_path: Path
) -> None:
    """As with ``| head``."""
    values = [f"{key}={value}" for key, value in (config | {"max_length": 5}).items()]
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", repo / "Snakefile"),
            *(*PROFILE, *verbose, "--cores", "2", "--directory", tmp_path, "--config", *values),
        ],
        cwd=repo,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert run.stderr is not None
    run.stderr.readline()
    run.stderr.close()
    assert run.wait(timeout=100) == 1
    assert (
        "6 of 6 records rejected"
        in (tmp_path / "logs/render_traces/agentdojo_complete.log").read_text()
        + (tmp_path / "logs/apply_lossmask/agentdojo_complete.log").read_text()
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_length": 5}, "6 of 6 records rejected"),
        ({"agentdojo_path": "config/demo/fujitsu_b4.jsonl"}, "44 of 44 records rejected"),
    ],
)
def test_losing_everything_is_an_error_whose_reason_is_first_and_last(
    snakemake: Snakemake, config: dict[str, object], change: dict[str, object], words: str
) -> None:
    lines = failed(snakemake(*PROFILE, config=config | change, check=False))
    told = [number for number, line in enumerate(lines) if words in line]
    assert len(told) == 2 and lines[told[0]].startswith("Error in rule ")
    end = lines[told[1] - 1 :]
    assert end[0] == "A job failed." and end[-1].startswith("Hint for ") and len(end) < 8


def test_one_failure_does_not_stop_the_other_data_sets(
    snakemake: Snakemake, config: dict[str, object], tmp_path: Path, repo: Path
) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    whole = snakemake("load", *PROFILE, config=config)
    assert whole.status == 0
    traces = [f"{tmp_path}/{name}.jsonl" for name in ("empty", "data/traces/agentdojo_complete")]
    given = config | {"input_traces": ",".join(traces)}
    lines = failed(snakemake(*PROFILE, config=given, check=False))
    assert f"{traces[0]} holds no trace. Hint: look at input_traces" in lines[-1]
    assert (tmp_path / "data/lossmasks/agentdojo_complete.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"agentdojo_path": "null"}, "all: there is no data set to make. Fix: set one of"),
        ({"input_traces": "{data}/renders.jsonl"}, "no file of traces but of renders"),
        ({"output_base": "{data}/renders.jsonl"}, "is no folder, and files must be written below"),
    ],
)
def test_what_cannot_come_to_anything_ends_before_the_first_job_with_a_sentence(
    snakemake: Snakemake,
    config: dict[str, object],
    tmp_path: Path,
    change: dict[str, str],
    words: str,
) -> None:
    (tmp_path / "renders.jsonl").write_text('{"render_id": "r", "trace_id": "t"}\n')
    change = {key: value.replace("{data}", str(tmp_path)) for key, value in change.items()}
    lines = failed(snakemake(*PROFILE, config=config | change, check=False))
    assert words in lines[-1] and not (tmp_path / "logs").exists()


def test_a_stop_from_the_keyboard_ends_with_one_line(
    config: dict[str, object], tmp_path: Path, repo: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WAITS)
    words = [f"{key}={value}" for key, value in config.items()]
    # A caller in the background has SIGINT ignored, and its children would ignore it too.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "snakemake", *PROFILE]
    run = subprocess.Popen(
        [*command, "--config", *words],
        cwd=repo,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert run.stdout
    while ": Render and tokenise" not in run.stdout.readline():
        pass
    while not (tmp_path / "waits").exists():
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGINT)
    end = run.stdout.read().splitlines()
    assert run.wait() != 0
    assert end == [INTERRUPTED]
