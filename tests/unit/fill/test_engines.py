"""Several engines in one job, each a process with the scale benchmark's stub."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbdata.fill.backends.vllm_backend import VllmBackend
from cbdata.fill.engines import engine_environs, run_engines
from cbdata.fill.job import FillJob, load_job
from cbdata.fill.preflight import FillInputs
from cbdata.fill.processes import EXIT_STOPPED
from cbdata.fill.row_file import join_rows, read_rows
from cbdata.fill.runner import STOP_SIGNALS, StopFlag, Stopped
from cbdata.fill.shard import run_shard
from cbdata.jsonl import read_records
from cbdata.tools import ToolSchema, load_tool_schema
from tests.fill_settings import fill_settings, runtime_settings
from tests.unit.fill.world import CALLS, MODEL, ToyBackend, ToyRenderer, World, write_skeletons


@pytest.fixture
def job(tmp_path: Path, b4_tools: ToolSchema, demo_model: Path) -> FillJob:
    """Eight skeletons for two engines, under the demo's tokenizer."""
    settings = fill_settings(model=str(demo_model), backend="stub", max_tokens=32)
    world = World(tmp_path, b4_tools, write_skeletons(tmp_path, b4_tools, 8), settings)
    runtime = runtime_settings(engines_per_job=2, engine_device="cpu")
    return replace(world.job(), log=str(tmp_path / "job.log"), runtime=runtime)


def start(job: FillJob, repo: Path, module: str = "", **environ: str) -> subprocess.Popen[str]:
    """The job as a process of its own; ``module`` is the text of a backend in place of the stub."""
    folder = Path(job.sets[0].progress_dir).parent
    (folder / "own_backend.py").write_text(module or "from stub_backend import BACKEND\n")
    path = [repo / "workflow/scripts", repo / "benchmarks/slurm_scale/stub", folder]
    job.job_file.parent.mkdir(parents=True, exist_ok=True)
    job.save(job.job_file)
    return subprocess.Popen(
        [sys.executable, "-m", "cbdata.fill", str(job.job_file)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "CB_BACKEND_MODULES": "own_backend",
            **environ,
        },
        stderr=subprocess.PIPE,
        text=True,
    )


def stored(job: FillJob) -> Counter[tuple[str, str, int]]:
    """How often each completion stands in the progress store."""
    return Counter(
        (row["trace_id"], row["mode"], row["attempt"])
        for path in Path(job.sets[0].progress_dir).glob("*.jsonl")
        for _, row in read_records(path)
    )


KILLED = """
import os, signal, sys
import stub_backend

class Engine(stub_backend.StubEngine):
    def generate(self, queue):
        for number, request in enumerate(iter(lambda: queue.take(1), [])):
            if number == 3 and ".1-of-1x2." in sys.argv[-1]:
                os.kill(os.getpid(), signal.SIGKILL)
            yield [stub_backend.Generated(request[0], self._answers[0], "stop")]

class Backend(stub_backend.StubBackend):
    def open(self, options):
        return Engine(options.model)

BACKEND = Backend()
"""


def test_a_killed_engine_costs_no_work_and_the_next_try_goes_on(job: FillJob, repo: Path) -> None:
    log = Path(str(job.log))
    with start(job, repo, KILLED) as first:
        said = str(first.communicate(timeout=300)[1])
    assert first.returncode == 75, said
    assert "1 of 2 engines did not do their part" in said
    assert "engine 1 was killed by signal 9" in said
    assert not Path(job.sets[0].output).exists()
    kept = stored(job)
    with start(job, repo) as second:
        said = str(second.communicate(timeout=300)[1])
    assert second.returncode == 0, said
    whole = stored(job)
    assert set(kept) < set(whole) and set(whole.values()) == {1}
    assert "engine 0: " in said and "first rendered prompt" not in log.read_text()
    assert "first rendered prompt" in log.with_suffix(".engine1.log").read_text()


THREE = runtime_settings(engines_per_job=3, engine_device="cpu")


@pytest.fixture
def worlds(tmp_path: Path, b4_tools: ToolSchema) -> World:
    more = tmp_path / "other"
    more.mkdir()
    first = write_skeletons(tmp_path, b4_tools, 9)
    second = write_skeletons(more, b4_tools, 12).rename(tmp_path / "more_skeletons.jsonl")
    return World(tmp_path, b4_tools, first, more=(second,))


def in_this_process(
    monkeypatch: pytest.MonkeyPatch, statuses: tuple[int, ...] = (0, 0, 0)
) -> list[ToyBackend]:
    """Let the engines be toys that run one after the other; those whose status is not 0 end before
    they begin.
    """
    toys: list[ToyBackend] = []

    def run(commands: Any) -> list[int]:
        for command, status in zip(commands, statuses, strict=True):
            part = load_job(command.words[-1])
            toys.append(ToyBackend())
            if status == 0:
                inputs = FillInputs(MODEL, load_tool_schema(part.tool_schema), CALLS, "cuda")
                run_shard(part, inputs, ToyRenderer(), toys[-1], StopFlag())
        return list(statuses)

    monkeypatch.setattr("cbdata.fill.engines.run_all", run)
    return toys


def rows_of(job: FillJob, index: int = 0) -> list[Any]:
    return [row for _, row in read_rows(job.sets[index].output)]


@pytest.mark.parametrize("shards", [1, 2])
def test_engines_share_a_shard_of_every_set_and_publish_what_one_would(
    worlds: World, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    toys = in_this_process(monkeypatch)
    for shard in range(shards):
        job = replace(worlds.job(shard, shards), runtime=THREE)
        assert run_engines(job, ToyBackend()) == 0
        several = [rows_of(job, index) for index in (0, 1)]
        work = [
            [len({r.trace_id for r in toy.seen if r.set_index == i}) for i in (0, 1)]
            for toy in toys[-3:]
        ]
        assert all(map(sum, work)), "every engine has work"
        toy = ToyBackend()
        worlds.run(toy, shard, shards)
        assert toy.opened is None, "all is stored"
        for index, rows in enumerate(several):
            one = rows_of(job, index)
            assert rows[:-1] == one[:-1]
            assert rows[-1]["generated"] == one[-1]["reused"]
            folder = Path(job.sets[index].output).parent
            assert not list(folder.glob("*.part"))


def test_an_engine_that_fails_keeps_the_shard_unpublished(
    worlds: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = replace(worlds.job(), runtime=THREE)
    in_this_process(monkeypatch, (0, -9, 0))
    assert run_engines(job, ToyBackend()) == 75
    assert "engine 1 was killed by signal 9: it says no reason" in caplog.text
    assert not list(Path(job.sets[0].output).parent.iterdir())
    done = in_this_process(monkeypatch)
    assert run_engines(job, ToyBackend()) == 0
    assert [bool(toy.seen) for toy in done] == [False, True, False]
    in_this_process(monkeypatch, (0, 1, 75))
    assert run_engines(job, ToyBackend()) == 1


@pytest.mark.parametrize(
    ("statuses", "comes_back"),
    [((79, 75, 0), True), ((79, 79, 79), True), ((79, -9, 0), False), ((79, 1, 0), False)],
)
def test_a_warned_job_comes_back_where_no_engine_failed_or_was_killed(
    worlds: World,
    monkeypatch: pytest.MonkeyPatch,
    statuses: tuple[int, ...],
    comes_back: bool,
) -> None:
    in_this_process(monkeypatch, statuses)
    job = replace(worlds.job(), runtime=THREE)
    if comes_back:
        with pytest.raises(Stopped, match="engine 0 was warned: ") as stopped:
            run_engines(job, ToyBackend())
        assert stopped.value.comes_back
    else:
        assert run_engines(job, ToyBackend()) in (1, EXIT_STOPPED)
    assert not list(job.job_file.parent.glob("*engine*"))
    assert not list(worlds.folder.glob("shards/*"))


SLOW = """
import time, stub_backend

class Engine(stub_backend.StubEngine):
    def generate(self, queue):
        for request in iter(lambda: queue.take(1), []):
            yield [stub_backend.Generated(request[0], self._answers[0], "stop")]
            time.sleep(WAIT)

class Backend(stub_backend.StubBackend):
    def open(self, options):
        return Engine(options.model)

BACKEND = Backend()
"""


def test_a_warned_job_puts_itself_back_once_its_engines_have_ended(
    job: FillJob, repo: Path, tmp_path: Path
) -> None:
    """Who asks SLURM, and when: the job, not one of its engines, whose locks are free by then."""
    scontrol = tmp_path / "bin/scontrol"
    scontrol.parent.mkdir()
    # SLURM ends the job then.
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\nkill -9 $PPID\n')
    scontrol.chmod(0o755)
    environ = {"PATH": f"{scontrol.parent}:{os.environ['PATH']}", "SLURM_JOB_ID": "17"}
    with start(job, repo, SLOW.replace("WAIT", "0.5"), **environ, CB_EXECUTOR_JOB="1") as run:
        deadline = time.monotonic() + 120
        while len(list(Path(job.sets[0].progress_dir).glob("*.jsonl"))) < 2:
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGUSR1)
        said = str(run.communicate(timeout=120)[1])
    assert run.returncode == -9, said
    assert (tmp_path / "said").read_text() == "requeue 17\n"
    assert said.count("SIGUSR1 received; ") == 2 and "put back into the queue as 17" in said
    assert not list(job.job_file.parent.glob("*engine*"))
    kept = stored(job)
    with start(job, repo, SLOW.replace("WAIT", "0")) as again:
        said = str(again.communicate(timeout=120)[1])
    assert again.returncode == 0, said
    whole = stored(job)
    assert set(kept) < set(whole) and set(whole.values()) == {1}


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_stop_signal_before_the_engines_start_none(
    worlds: World, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The signal's default would end this process, and leave the engines' job files."""
    toys = in_this_process(monkeypatch)
    prepare = engine_environs

    def signalled(*given: Any) -> Any:
        os.kill(os.getpid(), number)
        return prepare(*given)

    monkeypatch.setattr("cbdata.fill.engines.engine_environs", signalled)
    job = replace(worlds.job(), runtime=THREE)
    before = signal.getsignal(number)
    assert run_engines(job, ToyBackend()) == EXIT_STOPPED
    assert not toys
    assert not list(job.job_file.parent.glob("*engine*"))
    assert signal.getsignal(number) == before


def test_a_stop_signal_just_before_signals_are_passed_on_starts_no_engine(
    worlds: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prepare, install = engine_environs, signal.signal

    def late(*given: Any) -> Any:
        monkeypatch.setattr("signal.signal", install)
        os.kill(os.getpid(), signal.SIGTERM)
        return install(*given)

    def prepared(*given: Any) -> Any:
        monkeypatch.setattr("signal.signal", late)
        return prepare(*given)

    monkeypatch.setattr("cbdata.fill.engines.engine_environs", prepared)
    monkeypatch.setattr("subprocess.Popen", None)
    assert run_engines(replace(worlds.job(), runtime=THREE), ToyBackend()) == EXIT_STOPPED
    assert "SIGTERM received before the engines were started" in caplog.text


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_stop_signal_while_rows_are_joined_costs_no_shard(
    worlds: World, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    in_this_process(monkeypatch)

    def signalled(parts: Any, output: str) -> Any:
        os.kill(os.getpid(), number)
        return join_rows(parts, output)

    monkeypatch.setattr("cbdata.fill.engines.join_rows", signalled)
    job = replace(worlds.job(), runtime=THREE)
    assert run_engines(job, ToyBackend()) == 0
    for part in job.sets:
        assert Path(part.output).exists()
        assert not list(Path(part.output).parent.glob("*.part"))


def test_each_engine_has_its_own_gpus_and_ports(
    worlds: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbdata.fill.device_shares.on_rocm", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    monkeypatch.setenv("VLLM_PORT", "30000")
    runtime = runtime_settings(engines_per_job=2, tensor_parallel=2)
    assert engine_environs(replace(worlds.job(), runtime=runtime), VllmBackend()) == [
        {"CUDA_VISIBLE_DEVICES": "4,5", "VLLM_PORT": "30000"},
        {"CUDA_VISIBLE_DEVICES": "6,7", "VLLM_PORT": "30100"},
    ]


def test_engines_without_gpus_share_the_cores(
    worlds: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    runtime = runtime_settings(engines_per_job=3, engine_device="cpu")
    found = engine_environs(replace(worlds.job(), runtime=runtime), VllmBackend())
    assert found == [{"OMP_NUM_THREADS": "2"}] * 3
