"""A fill job whose engine is vLLM's own server, which is killed and started again in mid-run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from cbdata.fill.row_file import read_rows
from tests.slurm.cluster import free_ports
from tests.vllm.jobs import START_LIMIT_S, Jobs

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

ENVIRON = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


@contextmanager
def vllm_serve(model: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server, once it answers; killed at the end with all its processes."""
    command = [
        # What `vllm serve` runs; the command itself asks for a distribution of the name vllm, and
        # the CPU build's is called vllm-cpu.
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)),
        *("--host", "127.0.0.1", "--port", str(port), "--served-model-name", "small"),
        *("--max-model-len", "4096", "--max-num-seqs", "8", "--dtype", "float32"),
        *("--enforce-eager", "--gpu-memory-utilization", "0.2"),
    ]
    with log.open("ab") as sink:
        server = subprocess.Popen(
            command,
            env={**os.environ, **ENVIRON, "HF_HUB_OFFLINE": "1"},
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not answers(port):
            assert server.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.5)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_server_that_is_killed_and_started_again_in_mid_run(
    jobs: Jobs, demo_model: Path, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    served = replace(
        jobs,
        settings=replace(jobs.settings, backend="endpoint", endpoint_model="small"),
        runtime={
            "endpoint_urls": [f"http://127.0.0.1:{port}"],
            "endpoint_concurrency": 4,
            "endpoint_patience": START_LIMIT_S,
        },
    )
    log = tmp_path / "server.log"
    with vllm_serve(demo_model, port, log):
        job = served.start()
        served.wait_for(4, job)
    before = served.stored()
    assert len(before) < 2 * served.half, "the server was killed too late"
    with vllm_serve(demo_model, port, log):
        status, messages = served.finish(job)
    assert status == 0, messages
    assert "no answer, trying again" in messages and "the servers answer again" in messages
    rows = [row for _, row in read_rows(served.job().sets[0].output) if "outcomes" in row]
    stored = served.stored()
    keys = [(row["trace_id"], row["mode"], row["attempt"]) for row in stored]
    assert len(set(keys)) == len(keys) and stored[: len(before)] == before
    assert {row["record_id"] for row in rows} == {row["trace_id"] for row in stored}
    assert {row["backend"] for row in stored} == {"endpoint"}
    assert all(row["version"].endswith(", small") for row in stored)
    assert all(row["version"].startswith("vllm 0.") for row in stored)
    # Calls were held to the grammar, and every completion that ended by itself has its last token.
    assert all("<tool_call>" in row["text"] for row in stored)
    assert all(
        row["text"].endswith("<|im_end|>") for row in stored if row["finish_reason"] == "stop"
    )
