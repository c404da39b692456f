"""A failed try costs no earlier results: the real workflow, made to fail in the ways it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.command import Run, Snakemake
from tests.workflow.plans import planned_jobs

pytestmark = pytest.mark.workflow

# Loaded by every Python that starts with it on its path. It stops a rule's script at the worst
# moment: all is written, and the file FATAL_FILE is about to get its name.
SITECUSTOMIZE = """
import os, signal, sys
script, file, victim = (os.environ[key] for key in ("FATAL_SCRIPT", "FATAL_FILE", "FATAL_VICTIM"))
if any(argument.endswith("." + script + ".py") for argument in sys.orig_argv):
    def replace(source, target, really=os.replace):
        if os.path.basename(target) == file:
            os.kill(0 if victim == "run" else os.getpid(), signal.SIGKILL)
        really(source, target)
    os.replace = replace
"""
NAME = "agentdojo_complete"
TABLE_RULES = {
    "render_traces": 1,
    "apply_lossmask": 1,
    "check_conservation": 1,
    "build_report": 1,
    "all": 1,
}


class Pipeline:
    """A run on AgentDojo transcripts in a folder of its own."""

    def __init__(self, folder: Path, snakemake: Snakemake, repo: Path, model: Path) -> None:
        self.folder, self.snakemake, self.repo = folder, snakemake, repo
        self.data = folder / "data"
        self.raw = folder / "raw.jsonl"
        self.raw.write_bytes((repo / "config/demo/agentdojo.jsonl").read_bytes())
        self.config = {
            "fujitsu_b4_path": "null",
            "agentdojo_path": self.raw,
            "output_base": self.data,
            "log_dir": folder / "logs",
            "tokenizer": model,
        }
        (folder / "fatal").mkdir()
        (folder / "fatal" / "sitecustomize.py").write_text(SITECUSTOMIZE)

    def run(self, *arguments: str, check: bool = True, **config: object) -> Run:
        profile = ("--profile", "profiles/local")
        return self.snakemake(*arguments, *profile, config=self.config | config, check=check)

    def plan(self, *arguments: str, **config: object) -> dict[str, int]:
        return planned_jobs(self.run("-n", *arguments, **config).output)

    def run_to_death(
        self, *arguments: str, script: str, file: str, victim: str = "job", **config: object
    ) -> Run:
        """A run in which the rule's script, or everything (``victim`` run), gets SIGKILL."""
        words = [f"{key}={value}" for key, value in (self.config | config).items()]
        command = [sys.executable, "-m", "snakemake", *arguments, "--profile", "profiles/local"]
        done = subprocess.run(
            [*command, "--config", *words],
            cwd=self.repo,
            env=os.environ
            | {
                "PYTHONPATH": str(self.folder / "fatal"),
                "FATAL_SCRIPT": script,
                "FATAL_FILE": file,
                "FATAL_VICTIM": victim,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        print(done.stdout)
        assert done.returncode == (-signal.SIGKILL if victim == "run" else 1), done.stdout
        return Run(done.returncode, done.stdout)

    def files(self, folder: str = "") -> dict[str, tuple[bytes, int]]:
        """Bytes and time of every file, hidden ones too, but for the record of each run."""
        return {
            str(path.relative_to(self.data)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted((self.data / folder).rglob("*"))
            if path.is_file() and path.parent.name != "run_configs"
        }


@pytest.fixture
def pipeline(tmp_path: Path, snakemake: Snakemake, repo: Path, demo_model: Path) -> Pipeline:
    made = Pipeline(tmp_path, snakemake, repo, demo_model)
    made.run()
    return made


def hidden(files: dict[str, tuple[bytes, int]]) -> list[str]:
    return [name for name in files if Path(name).name.startswith(".")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,prompt\n1,hello\n", "begins with 'id,prompt'), perhaps CSV"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a git-lfs pointer"),
        (b"PAR1\x15\x04\x15", "a Parquet file"),
    ],
)
def test_a_raw_file_of_another_kind_is_refused_while_planning(
    pipeline: Pipeline, content: bytes, words: str
) -> None:
    before = pipeline.files()
    wrong = pipeline.folder / "wrong.jsonl"
    wrong.write_bytes(content)
    for arguments in ((), ("-n",)):
        run = pipeline.run(*arguments, agentdojo_path=wrong, check=False)
        assert run.status == 1
        assert f"agentdojo_path: '{wrong}' is " in run.output
        assert words in run.output
        assert "Traceback" not in run.output
    assert pipeline.files() == before


def test_a_wrong_tokenizer_is_refused_before_any_job(pipeline: Pipeline) -> None:
    before = pipeline.files()
    folder = pipeline.folder / "no_tokenizer"
    folder.mkdir()
    for wrong, words in [
        (folder, f"tokenizer: '{folder}' is no tokenizer's folder: it has no tokenizer.json"),
        ("org/nowhere", "tokenizer 'org/nowhere': no tokenizer.json in"),
    ]:
        run = pipeline.run(tokenizer=wrong, check=False)
        assert run.status == 1
        assert words in run.output
        assert "Traceback" not in run.output
    assert pipeline.files() == before
    assert pipeline.plan() == {}


def test_a_job_that_fails_leaves_its_earlier_files_and_they_stay_out_of_date(
    pipeline: Pipeline,
) -> None:
    before = pipeline.files()
    bad = pipeline.folder / "bad.jsonl"
    bad.write_bytes(b'{"no": "transcript"}\n')
    config = {"agentdojo_path": bad, "max_reject_fraction": 0.1}
    run = pipeline.run(check=False, **config)
    assert run.status == 1
    assert "Put back as they were before this run" in run.output
    after = pipeline.files()
    kept, _ = after.pop(f"rejects/etl_a/{NAME}.refused.jsonl")
    assert b"missing_messages" in kept
    assert after == before
    assert pipeline.plan(**config) == {"convert_agentdojo": 1, **TABLE_RULES}
    assert pipeline.plan() == {}, "they are what the first configuration makes"


def test_a_killed_job_costs_nothing_and_the_next_run_makes_its_files_anew(
    pipeline: Pipeline,
) -> None:
    before = pipeline.files()
    config = {"max_length": 200}
    pipeline.run_to_death(script="render_traces", file=f"{NAME}.jsonl", **config)
    after = pipeline.files()
    parts = [name for name in hidden(after) if name.endswith(".part")]
    assert len(parts) == 3 == len(hidden(after)), "what SIGKILL leaves"
    assert {name: file for name, file in after.items() if name not in parts} == before
    assert pipeline.plan(**config) == TABLE_RULES
    assert pipeline.plan() == {}
    pipeline.run(**config)
    assert hidden(pipeline.files()) == []
    assert (
        pipeline.files("renders")[f"renders/{NAME}.jsonl"][0]
        != (before[f"renders/{NAME}.jsonl"][0])
    )
    assert pipeline.plan(**config) == {}


def test_touch_and_an_unchanged_run_make_nothing(pipeline: Pipeline) -> None:
    contents = {name: data for name, (data, _) in pipeline.files().items()}
    assert "Nothing to be done" in pipeline.run().output
    pipeline.raw.touch()
    pipeline.run("--touch")
    assert {name: data for name, (data, _) in pipeline.files().items()} == contents
    assert pipeline.plan() == {}


def test_a_newer_input_still_counts_after_a_failed_try(pipeline: Pipeline) -> None:
    before = pipeline.files()
    pipeline.raw.touch()
    pipeline.run_to_death(script="convert_source", file=f"{NAME}.jsonl")
    assert {n: f for n, f in pipeline.files().items() if n in before} == before
    assert pipeline.plan() == {"convert_agentdojo": 1, **TABLE_RULES}
    pipeline.run()
    assert hidden(pipeline.files()) == []
    assert pipeline.files("traces")[f"traces/{NAME}.jsonl"][1] > (before[f"traces/{NAME}.jsonl"][1])
    assert pipeline.plan() == {}


def test_a_run_that_is_killed_itself_loses_nothing_either(pipeline: Pipeline) -> None:
    before = pipeline.files()
    config = {"max_length": 200}
    death = {"script": "render_traces", "file": f"{NAME}.jsonl"}
    pipeline.run_to_death(victim="run", **death, **config)
    killed = pipeline.files()
    assert f"renders/{NAME}.jsonl" not in killed
    assert killed[f"renders/.{NAME}.jsonl.kept"] == before[f"renders/{NAME}.jsonl"]
    pipeline.run("--unlock", **config)
    pipeline.run_to_death(**death, **config)
    assert {n: f for n, f in pipeline.files().items() if n in before} == before
    assert pipeline.plan(**config) == TABLE_RULES
    assert pipeline.plan() == TABLE_RULES, "nobody knows how the interrupted run's files were made"
    pipeline.run(**config)
    assert hidden(pipeline.files()) == []
    assert pipeline.plan(**config) == {}


def test_a_folder_of_outputs_comes_back_whole(pipeline: Pipeline) -> None:
    pipeline.run("export")
    before = pipeline.files()
    pipeline.run(f"{pipeline.data}/lossmasks/{NAME}.jsonl", "-R", "apply_lossmask")
    masks = pipeline.files("lossmasks")
    assert masks[f"lossmasks/{NAME}.jsonl"][1] > before[f"lossmasks/{NAME}.jsonl"][1]
    pipeline.run_to_death("export", script="export_data", file="README.md")
    after = {n: f for n, f in pipeline.files("export").items() if not n.endswith(".part")}
    assert any(name.endswith(".parquet") for name in after)
    pairs = [name for name in before if name.startswith("export/pairs")]
    for name in set(after) - set(pairs):
        assert after[name] == before[name]
    assert set(after) == {name for name in before if name.startswith("export/")}
    assert pipeline.plan("export")["export_parquet"] == 1
    pipeline.run("export")
    assert hidden({n: f for n, f in pipeline.files().items() if "timestamp" not in n}) == []
    assert pipeline.plan("export") == {}
