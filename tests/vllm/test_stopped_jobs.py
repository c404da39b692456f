"""Jobs of the real engine that are killed, stopped and left without their engine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from cbdata.jsonl import read_records
from tests.vllm.jobs import Jobs

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]


def end_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the job and whatever it started, as a scheduler does it."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_killed_at_half_and_resumed_as_two_shards_generates_at_most_1_05_of_one_pass(
    jobs: Jobs,
) -> None:
    first = jobs.start()
    jobs.wait_for(jobs.half, first)
    end_group(first)
    assert jobs.half <= len(jobs.stored()) < 2 * jobs.half
    for shard in range(2):
        status, messages = jobs.finish(jobs.start(shard, 2))
        assert status == 0, messages
    stored = jobs.stored()
    keys = {(row["trace_id"], row["mode"], row["attempt"]) for row in stored}
    wanted = [
        row
        for shard in range(2)
        for _, row in read_records(jobs.job(shard, 2).sets[0].output)
        if "outcomes" in row
    ]
    assert len(keys) == len(stored) == len(wanted)
    one_pass = sum(len(row["token_ids"]) for row in stored)
    # Nothing stored was generated twice; on top comes at most what was in flight when the job was
    # killed.
    in_flight = jobs.at_once * jobs.settings.max_tokens
    assert one_pass + in_flight <= 1.05 * one_pass


@pytest.mark.parametrize("warning", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stop_keeps_what_is_done_and_ends_a_job_that_waits_for_another(
    jobs: Jobs, warning: signal.Signals
) -> None:
    first = jobs.start()
    jobs.wait_for(4, first)
    second = jobs.start(0, 2)
    log = Path(str(jobs.job(0, 2).log))
    deadline = time.monotonic() + 60
    while not (log.exists() and "this one waits for its end" in log.read_text()):
        assert time.monotonic() < deadline, "the second job must not load the model first"
        time.sleep(0.1)
    assert f'"pid":{first.pid}' in log.read_text()
    second.send_signal(warning)
    status, messages = jobs.finish(second)
    assert status == 75 and f"{warning.name} received" in messages
    first.send_signal(warning)
    status, messages = jobs.finish(first)
    assert status == 75 and f"{warning.name} received" in messages and "are kept" in messages
    assert 4 <= len(jobs.stored()) < 2 * jobs.half


def test_a_dead_engine_fails_the_job_and_keeps_what_is_done(jobs: Jobs) -> None:
    job = jobs.start(VLLM_ENABLE_V1_MULTIPROCESSING="1")
    jobs.wait_for(4, job)
    engines = [
        child
        for child in psutil.Process(job.pid).children(recursive=True)
        if "EngineCore" in "".join(child.cmdline())
    ]
    assert engines
    engines[0].kill()
    status, messages = jobs.finish(job)
    assert status == 1 and "the vLLM engine died" in messages and "are kept" in messages
    assert len(jobs.stored()) >= 4
